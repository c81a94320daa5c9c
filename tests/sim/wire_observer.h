// Watches every TCP segment as it is sent, before any fault, and holds each sender to what must be true of the wire
// alone, whatever the two ends think:
//
//   - a byte that is sent again under the same sequence number is the same byte
//   - new bytes follow the old ones; only while a sender asks for an address (ARP) it may drop the oldest that wait
//   - acknowledgements never go back, and nothing is acknowledged that was not sent
//   - the right edge of the offered window never retracts (RFC 9293 3.8.6; a scaled window's rounding is forgiven)
//   - nothing is sent beyond the widest window the other side ever offered, but for one byte of a probe
//
// It keeps the bytes of every flow, and reads the headers with the peer's code, not the stack's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "core/base/bytes.h"

namespace talaria::sim {

class WireObserver {
 public:
  // Throws Failure.
  void on_frame(base::Bytes frame);
  uint64_t segments() const { return segments_; }

 private:
  // What a SYN says of its side.
  struct Offer {
    uint32_t initial = 0;
    bool has_shift = false;
    uint8_t shift = 0;  // of the windows this side offers
  };
  // One direction of one connection. Positions count from the initial sequence number, so that they do not wrap.
  struct Flow {
    Offer offer;
    bool started = false;
    // SYNs that were answered more than once, with a cookie and without, have answers with different numbers and
    // options; which one counts the other side says.
    std::vector<Offer> offered;
    bool chosen = false;
    std::vector<uint8_t> bytes;
    bool may_skip = false;             // its sender has asked for an address since it last sent bytes
    std::map<size_t, size_t> missing;  // in the bytes: from, to
    uint64_t sent_end = 0;             // position behind everything sent, SYN and FIN included
    uint64_t acknowledged = 0;         // of the other flow's positions
    uint64_t edge = 0;                 // right edge offered, in the other flow's positions
    bool acknowledges = false;
    uint8_t effective_shift(const Flow& other) const {
      return offer.has_shift && other.offer.has_shift ? offer.shift : 0;
    }
  };
  using Key = std::tuple<uint32_t, uint16_t, uint32_t, uint16_t>;

  void on_address_request(base::Bytes frame);
  // Takes or compares; where they differ, the first place.
  static std::optional<size_t> put(Flow& flow, size_t from, base::Bytes bytes);
  // `at` of a flow's sequence space, near `reference`.
  static uint64_t unwrap(uint32_t at, uint32_t initial, uint64_t reference);

  std::map<Key, Flow> flows_;
  uint64_t segments_ = 0;
};

}  // namespace talaria::sim
