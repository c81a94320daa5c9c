// Datagrams that came in pieces, put together (RFC 791 3.2, RFC 8200 4.5).
//
// Owned by one Host. Each datagram in the making has one packet of the device, into which the pieces are copied where
// they belong; the pieces themselves go back at once. So nothing larger than a frame's MTU is put together: no TCP
// segment is, since we announce no greater MSS.
//
// Bounds: `datagrams_max` at a time, a quarter of them from one source (beyond either the oldest makes room);
// `pieces_max` pieces of each; a lifetime that does not begin again. A piece that overlaps another one ends the whole
// datagram, and what else comes of it is dropped until its time is over (RFC 5722: who overlaps has something to hide);
// a copy of a piece is no overlap.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/net/device.h"
#include "core/net/ip_address.h"

namespace talaria::net {

// What the pieces of one datagram have in common.
struct FragmentKey {
  IpAddress source;
  IpAddress destination;
  uint32_t identification = 0;
  uint8_t protocol = 0;  // of IPv4; IPv6 tells datagrams apart without it

  bool operator==(const FragmentKey&) const = default;
};

struct Fragment {
  FragmentKey key;
  uint8_t protocol = 0;  // of the payload; counts where offset is 0
  uint32_t offset = 0;   // in bytes
  bool more = false;     // others follow
  base::Bytes payload;
};

enum class FragmentResult : uint8_t {
  waiting,    // taken; others are missing
  complete,   // that was the last one
  duplicate,  // is there already
  malformed,  // no payload, of a length that cannot be, or behind the end
  overlap,    // with another one: the datagram is given up
  too_big,    // more than a frame takes, or too many pieces: the datagram is given up
  given_up,   // of a datagram that was given up before
  no_packet,  // the device has none
};

class FragmentTable {
 public:
  static constexpr size_t pieces_max = 16;

  FragmentTable(Device& device, size_t datagrams_max, base::Duration lifetime);
  ~FragmentTable();
  FragmentTable(const FragmentTable&) = delete;
  FragmentTable& operator=(const FragmentTable&) = delete;

  struct Outcome {
    FragmentResult result = FragmentResult::waiting;
    bool evicted = false;  // another datagram made room
    Packet packet;         // when complete: the caller's, the payload at `payload_at`, nothing in front of it
    size_t bytes = 0;      // of the whole payload
    uint8_t protocol = 0;  // of the payload, as its first piece said
  };
  // `payload_at`: where the payload begins in the packet; `bytes_max`: how long it may be; the same for all of a
  // family.
  Outcome add(const Fragment& fragment, size_t payload_at, size_t bytes_max, base::Time now);

  // Forgets what is too old; says how many were still hoped for.
  size_t expire(base::Time now);
  base::Time next_deadline() const;
  size_t packets_held() const;

 private:
  struct Range {
    uint32_t start = 0;
    uint32_t end = 0;
  };
  struct Datagram {
    FragmentKey key;
    base::Time deadline = base::never;  // never: the place is free
    Packet packet;                      // empty: given up
    uint32_t bytes = 0;                 // 0: the last piece has not come
    uint8_t protocol = 0;
    uint8_t pieces = 0;
    std::array<Range, pieces_max> ranges;
  };

  Datagram* find(const FragmentKey& key);
  Datagram& make_room(const FragmentKey& key, bool& evicted);
  void free(Datagram& datagram);
  void give_up(Datagram& datagram);
  FragmentResult place(Datagram& datagram, const Fragment& fragment, size_t payload_at, size_t bytes_max);

  Device& device_;
  base::Duration lifetime_;
  std::vector<Datagram> datagrams_;
};

}  // namespace talaria::net
