// A result as text: one JSON object, a row of a table, a plot. Pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "load/plan.h"
#include "load/result.h"

namespace talaria::load {

// How one poll loop spent its time while the run was measured.
struct LoopFigures {
  base::FineHistogramSum turn_lengths;
  // By the kernel's count; nothing where it does not tell.
  std::optional<double> waited_ms;  // could have run and was not let
  std::optional<uint64_t> preemptions;
};

// What the load itself can do, against a peer that does nothing else.
struct Ceiling {
  double publish_rate = 0;
  double deliver_rate = 0;
};

struct Report {
  std::string label;
  std::string transport;
  uint16_t mtu = 0;
  Plan plan;
  Result result;
  LoopFigures load;
  std::optional<LoopFigures> broker;      // if it runs in this process
  std::optional<uint64_t> bytes_at_rest;  // the broker's message memory that all messages took together
  std::optional<double> knee;             // of the ramp that this run is a part of; 0: no rate was good
  std::optional<Ceiling> ceiling;
  std::string ceiling_reason;  // why there is none
  std::vector<std::pair<std::string, std::string>> machine;
};

// In one line.
std::string to_json(const Report& report);
// Several lines for people.
std::string to_text(const Report& report);
// One line, under table_head().
std::string table_head();
std::string table_row(const Report& report);

// Latency percentiles against rate. `title` and labels are escaped.
std::string to_svg(std::span<const Report> reports, const std::string& title);

}  // namespace talaria::load
