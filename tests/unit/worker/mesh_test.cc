#include "core/worker/mesh.h"

#include <gtest/gtest.h>

#include <array>

namespace talaria::worker {
namespace {

TEST(Mesh, LanesAreOnePerDirection) {
  Mesh mesh(3);
  for (WorkerIndex from = 0; from < 3; from++)
    for (WorkerIndex to = 0; to < 3; to++) {
      if (from == to) continue;
      ASSERT_TRUE(mesh.lane(from, to).operations.push(broker::Passed{{}, {}, uint32_t{from} * 10u + to}));
    }
  for (WorkerIndex from = 0; from < 3; from++)
    for (WorkerIndex to = 0; to < 3; to++) {
      if (from == to) continue;
      broker::Operation operation;
      ASSERT_TRUE(mesh.lane(from, to).operations.pop(operation));
      EXPECT_EQ(std::get<broker::Passed>(operation).count, uint32_t{from} * 10u + to);
      EXPECT_FALSE(mesh.lane(from, to).operations.pop(operation));
    }
}

// What stands in mesh.h, and in the sum of the process's memory.
TEST(Mesh, LanesHoldWhatTheHeaderPromises) {
  for (const auto& [workers, capacity] : {std::pair<WorkerIndex, size_t>{2, 8192}, {8, 2048}, {64, 256}}) {
    Mesh mesh(workers);
    Lane& lane = mesh.lane(0, 1);
    size_t taken = 0;
    while (taken <= capacity && lane.events.push(broker::Stored{})) taken++;
    EXPECT_EQ(taken, capacity) << workers << " workers";
    // A message whose memory goes home must never wait behind operations and events.
    taken = 0;
    while (taken <= 4 * capacity && lane.releases.push(nullptr)) taken++;
    EXPECT_EQ(taken, 4 * capacity) << workers << " workers";
  }
}

TEST(Mesh, APushThatDoesNotFitKeepsTheRestInOrder) {
  Mesh mesh(64);
  Lane& lane = mesh.lane(0, 1);
  std::vector<broker::Operation> waiting;
  for (uint32_t i = 0; i < 300; i++) waiting.push_back(broker::Passed{{}, {}, i});
  const size_t pushed = lane.operations.push(waiting);
  EXPECT_EQ(pushed, 256u);
  std::vector<broker::Operation> popped(300);
  EXPECT_EQ(lane.operations.pop(std::span(popped)), pushed);
  for (uint32_t i = 0; i < pushed; i++) EXPECT_EQ(std::get<broker::Passed>(popped[i]).count, i);
}

// The sanitizers see what is lost.
TEST(ControlLane, DeletesWhatStillLiesInIt) {
  ControlLane lane;
  ASSERT_TRUE(lane.commands.push(PassAnswer{new broker::Answer}));
  ASSERT_TRUE(lane.commands.push(CloseSession{
      {}, broker::CloseCause::forced, new std::string("a text that is too long to lie in the string itself")}));
  ASSERT_TRUE(lane.commands.push(RevokeConsumer{{}, new broker::RevokedConsumer}));
  ASSERT_TRUE(lane.reports.push(Asked{new broker::Request}));
}

}  // namespace
}  // namespace talaria::worker
