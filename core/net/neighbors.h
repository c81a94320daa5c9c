// The neighbour table of one host, of ARP and of Neighbour Discovery: who has which MAC address, and the packets that
// wait to hear of one.
//
//   unused --(a packet to send)--> asking --(answer)--> known --(lifetime over, or refresh unanswered)--> unused
//                                    |                    |
//                                    +--(no answer)--> unused, waiting packets dropped
//
// Owned by one Host. A fixed number of neighbours, found by a keyed hash; a fixed number of waiting packets. When the
// table is full the known neighbour that was unused longest makes room; one that packets wait for never does. The table
// decides nothing about time or frames: the Host asks and confirms.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/net/device.h"
#include "core/net/ip_address.h"
#include "core/net/packet.h"

namespace talaria::net {

struct LearnedNeighbor {
  IpAddress address;
  MacAddress mac{};
  bool overrides = true;  // a MAC address that is known and another one
};

enum class NeighborState : uint8_t { unused, asking, known };

struct Neighbor {
  IpAddress address;
  MacAddress mac{};
  NeighborState state = NeighborState::unused;
  uint8_t requests = 0;        // sent since the last answer
  uint16_t waiting_count = 0;  // packets
  base::Time confirmed{};      // when the MAC address was last heard of
  base::Time used{};           // when it was last sent to
  base::Time due{};            // when the host looks at it again
  uint32_t waiting_first = 0;  // 1 + index of a waiting packet; 0 is none
  uint32_t waiting_last = 0;
  uint32_t next_in_bucket = 0;  // 1 + index of a neighbour; 0 is none
};

class NeighborTable {
 public:
  NeighborTable(size_t neighbors_max, size_t waiting_max, base::HashKey key);

  // nullptr if there is none in the states asking or known.
  Neighbor* find(const IpAddress& address);
  // A fresh neighbour in the state asking; the address is not in the table yet. nullptr if there is no room.
  Neighbor* create(const IpAddress& address, base::Time now);
  // Back to unused. No packet waits any more.
  void remove(Neighbor& neighbor);

  // Puts a packet behind those that wait for this neighbour. False if the pool of waiting packets is used up.
  bool push_waiting(Neighbor& neighbor, const Packet& packet);
  // The packet that waits longest; empty if none does.
  std::optional<Packet> pop_waiting(Neighbor& neighbor);
  size_t waiting_total() const { return waiting_total_; }

  // Every place, unused ones included.
  std::vector<Neighbor>& all() { return neighbors_; }

 private:
  struct Waiting {
    Packet packet;
    uint32_t next = 0;  // 1 + index
  };

  size_t bucket_of(const IpAddress& address) const;

  base::HashKey key_;
  std::vector<Neighbor> neighbors_;
  std::vector<uint32_t> buckets_;  // 1 + index of the first neighbour; a power of two of them
  std::vector<uint32_t> free_;
  std::vector<Waiting> waiting_;
  std::vector<uint32_t> waiting_free_;
  size_t waiting_total_ = 0;
};

}  // namespace talaria::net
