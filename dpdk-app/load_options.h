// talaria-load's command line, read with CLI11 into values. Called once, by main.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "dpdk-app/options.h"
#include "dpdk-app/settings.h"
#include "load/plan.h"
#include "load/ramp.h"

namespace talaria::app {

enum class Transport : uint8_t {
  rings,  // to a broker inside this process
  memif,  // shared memory with another process
  port,   // any port that DPDK drives
};

struct LoadSettings {
  Transport transport = Transport::rings;
  load::Plan plan;
  // Address, prefix, gateway, mtu, memory, port: this process's own, as talariad's. With rings, the broker's memory
  // too.
  Settings base;
  std::optional<bool> huge_pages;  // nothing: if there are enough
  net::IpAddress broker_address;
  uint16_t broker_port = 5672;
  std::vector<unsigned> cores;  // broker's (rings only), load's
  bool checksums = false;       // rings: computed and checked in software

  bool ceiling = true;
  base::Duration ceiling_window = std::chrono::seconds(1);
  std::optional<load::RampOptions> ramp;
  uint32_t runs = 1;

  std::string label;
  bool json = false;
  bool row = false;
  std::string json_file;  // appended to
  std::string svg_file;
};

std::expected<LoadSettings, Ending> read_load_options(int argument_count, const char* const* arguments);

}  // namespace talaria::app
