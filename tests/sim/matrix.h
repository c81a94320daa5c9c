// The matrix: one bulk transfer in each cell of loss x reordering x duplication x delay x rate x buffers, and in some
// places of a kind of their own (bursts of loss, corruption, pauses, black holes, partitions), each with a floor.
//
// The floor is a share of what the cell allows: the least of what the link carries, what the window allows in a round
// trip, and what a TCP gets at that loss by the model of Padhye, Firoiu, Towsley and Kurose (1998), which counts
// timeouts:
//
//                            segment
//   ----------------------------------------------------------------
//   R sqrt(2p/3)  +  T min(1, 3 sqrt(3p/8)) p (1 + 32 p^2)                R round trip, T timeout, p loss
//
// Not counted against it: the slow start up to there, and one timeout where frames are lost.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/run.h"
#include "tests/sim/world.h"

namespace talaria::sim {

struct Cell {
  double loss = 0;
  bool reorder = false;
  bool duplicate = false;
  Duration delay{};  // of one way
  uint64_t rate = 0;
  uint32_t buffer = 0;       // of the sender and of the receiver
  const char* trouble = "";  // instead of all that
};

// Cells are numbered from 1.
uint64_t cell_count();
Cell cell_of(uint64_t number);
// "5 % loss, reordered, 50 ms, 100 Mbit/s, 64 KiB".
std::string describe(const Cell& cell);

// `options.seed` is the cell's number. The report's figure is the goodput as a share of what the cell allows.
RunReport run_cell(const RunOptions& options);

}  // namespace talaria::sim
