// Attacks that a packet script cannot show: those on the tables' hash, and what the counts of sources do under a flood.
#include "core/tcp/source_counts.h"
#include "tests/unit/tcp/peer.h"

namespace talaria::tcp {
namespace {

constexpr size_t buckets = 4096;

size_t longest_chain(const std::vector<Tuple>& tuples, base::HashKey key) {
  std::vector<size_t> chains(buckets);
  for (const Tuple& tuple : tuples) chains[hash_of(tuple, key) % buckets]++;
  return *std::max_element(chains.begin(), chains.end());
}

TEST(TcpAttack, TuplesThatShareABucketUnderOneKeyAreSpreadUnderAnother) {
  const base::HashKey known{1, 2}, secret{3, 4};
  std::vector<Tuple> tuples;
  for (uint32_t at = 0; tuples.size() < 500; at++) {
    const Tuple tuple{0xc6120000 + (at >> 16), static_cast<uint16_t>(at), our_port};
    if (hash_of(tuple, known) % buckets == 0) tuples.push_back(tuple);
  }
  EXPECT_EQ(longest_chain(tuples, known), 500u);
  EXPECT_LE(longest_chain(tuples, secret), 6u);
}

uint64_t mixed(uint64_t n) {
  const uint8_t bytes[8] = {static_cast<uint8_t>(n), static_cast<uint8_t>(n >> 8), static_cast<uint8_t>(n >> 16)};
  return base::siphash24({5, 6}, bytes);
}

TEST(TcpAttack, CountsOfSourcesTellTheBusyOneFromTheCrowd) {
  SourceCounts counts(1024, std::pmr::get_default_resource());
  for (uint64_t source = 1; source <= 1000; source++) counts.add(mixed(source));
  for (int i = 0; i < 300; i++) counts.add(mixed(0));
  EXPECT_GE(counts.of(mixed(0)), 300u);
  size_t taken_for_busy = 0;
  for (uint64_t source = 1; source <= 100000; source++) taken_for_busy += counts.of(mixed(source)) >= 256 ? 1 : 0;
  EXPECT_LE(taken_for_busy, 2u) << "of a hundred thousand";
  for (int i = 0; i < 300; i++) counts.remove(mixed(0));
  for (uint64_t source = 1; source <= 1000; source++) counts.remove(mixed(source));
  for (uint64_t source = 0; source <= 1000; source++) EXPECT_EQ(counts.of(mixed(source)), 0u);
}

class TcpSource : public StackTest {};

// However the connections and handshakes end, their places come back.
TEST_F(TcpSource, EveryEndGivesItsPlaceBack) {
  Config config = small();
  config.connections_per_source = 1;
  config.handshakes_per_source = 1;
  config.half_open = 8;
  start(config);
  for (int round = 0; round < 3; round++) {
    deliver(syn());  // expires
    ASSERT_EQ(sent.size(), 1u);
    ASSERT_EQ(stack->counters().half_open_entries.value(), 1u) << "not a cookie";
    for (int second = 0; second < 20; second++) after(1s);
    deliver(syn());  // reset
    ASSERT_EQ(stack->counters().half_open_entries.value(), 1u);
    deliver(make(flag_rst, peer_start + 1, 0));
    accept();  // opened, and reset
    deliver(make(flag_rst, peer_next, 0));
    accept();  // opened, and closed in order
    turn([&] { stack->close(id); });
    our_next++;
    deliver(data(flag_ack | flag_fin));
    EXPECT_EQ(stack->connection_count(), 0u);
    peer_start += 1'000'000;  // newer than what is in TIME_WAIT
    accept();                 // opened, and aborted here
    turn([&] { stack->abort(id); });
    peer_start += 1'000'000;
  }
  EXPECT_EQ(stack->counters().syn_dropped_source.value(), 0u);
  EXPECT_EQ(stack->counters().half_open_source_full.value(), 0u);
}

}  // namespace
}  // namespace talaria::tcp
