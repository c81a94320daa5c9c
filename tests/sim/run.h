// One run: a seed, what to run with it, and what came of it.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/capture.h"
#include "tests/sim/plant.h"

namespace talaria::sim {

struct RunOptions {
  uint64_t seed = 1;
  // "" lets the seed choose between tcp and amqp. In "matrix" the seed is a cell's number; in "conversation" it is the
  // number of the frame that is lost, and 0 loses none; in "deaths" it says after which of its frames a client dies,
  // and how, and 0 lets it live.
  std::string scenario;
  Plant plant = Plant::none;
  bool trace = false;
  Capture* capture = nullptr;
};

// What a run that held has done, for people, and the fingerprint that another run of the seed must repeat.
struct RunReport {
  uint64_t fingerprint = 0;
  bool planted = false;  // the planted bug has had its occasion
  std::string summary;
  double figure = 0;  // matrix: share of what is possible; conversation: frames; deaths: how many there are
};

// Throw Failure when something did not hold.
RunReport run_tcp(const RunOptions& options);
RunReport run_amqp(const RunOptions& options);

// Names of the scenarios, and the one that a seed chooses.
std::string scenario_of(uint64_t seed);
RunReport run(const RunOptions& options);

}  // namespace talaria::sim
