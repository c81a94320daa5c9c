// The walk with many of everything: a worker, a real control plane and the load's driver in one thread, in virtual
// time, so that what the broker does for a delivery is the same in every run. scripts/load-scale counts it.
#pragma once

#include <cstdint>
#include <string_view>

namespace talaria::bench {

// Sets a scenario up, and lets it run until so many messages were delivered to consumers that are ready; prints how
// many, in how many turns, and how long the setting up took. Callgrind, if it is there, is told to count from then on:
// what is between --toggle-collect=talaria::bench::counted_poll*. False when there is no scenario of that name.
bool run_scale(std::string_view scenario, uint64_t messages);
// Their names, a line each.
void print_scales();

}  // namespace talaria::bench
