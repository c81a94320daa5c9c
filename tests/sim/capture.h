// A packet capture of a run: pcap with nanoseconds, link type Ethernet. Frames stand in it as they were sent, before
// any fault of a link; a second capture interface is not worth its format.
#pragma once

#include <cstdio>
#include <string>

#include "core/base/bytes.h"
#include "core/base/time.h"

namespace talaria::sim {

class Capture {
 public:
  // Every frame is flushed: a run that crashes leaves what it sent.
  explicit Capture(const std::string& path);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void add(base::Time when, base::Bytes frame);

 private:
  std::FILE* file_;
};

}  // namespace talaria::sim
