// The routes of a plan, and the publishes of it encoded beforehand: what is sent is copied out of here, and only the
// body's size and its stamp are written into the copy.
//
//      front, one a route:  | basic.publish frame | content header frame |      the body's size is patched
//      body, one a size:    | body frames                                |      the stamp is patched
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/amqp091/wire/frame.h"
#include "core/base/bytes.h"
#include "core/base/field.h"
#include "load/plan.h"
#include "load/stamp.h"

namespace talaria::load {

// Of the frames we send; the broker offered at least as much.
inline constexpr uint32_t frame_max = 131072;

// One binding of the plan's exchange (of the default exchange: the one every queue has).
struct Route {
  uint32_t queue = 0;        // with a fanout exchange: nobody's in particular
  std::string key;           // of the messages
  std::string binding_key;   // of the binding
  base::FieldTable headers;  // of the messages; and of the binding, with x-match
};
std::vector<Route> routes_of(const Plan& plan);

class Publishes {
 public:
  // All on channel 1.
  Publishes(const Plan& plan, const std::vector<Route>& routes);

  uint32_t routes() const { return static_cast<uint32_t>(fronts_.size()); }
  uint32_t queue_of(uint32_t route) const { return fronts_[route].queue; }
  // The size of a producer's n-th message, as an index; sizes alternate by their weights.
  uint32_t size_index(uint64_t n) const { return pattern_.size() == 1 ? pattern_[0] : pattern_[n % pattern_.size()]; }
  uint32_t body_bytes(uint32_t size) const { return bodies_[size].bytes; }

  size_t bytes(uint32_t route, uint32_t size) const { return fronts_[route].size + bodies_[size].frames.size(); }
  size_t bytes_max() const { return bytes_max_; }
  // Stores exactly that many.
  void store(uint8_t* at, uint32_t route, uint32_t size, const Stamp& stamp) const {
    const Front& front = fronts_[route];
    const Body& body = bodies_[size];
    std::memcpy(at, octets_.data() + front.offset, front.size);
    base::store_be64(at + front.body_size_at, body.bytes);
    at += front.size;
    std::memcpy(at, body.frames.data(), body.frames.size());
    store_stamp(at + amqp091::wire::frame_header_size, stamp);
  }

 private:
  struct Front {
    uint32_t offset = 0;  // in octets_
    uint32_t queue = 0;
    uint16_t size = 0;
    uint16_t body_size_at = 0;
  };
  struct Body {
    uint32_t bytes = 0;
    std::vector<uint8_t> frames;
  };

  std::vector<uint8_t> octets_;
  std::vector<Front> fronts_;
  std::vector<Body> bodies_;
  std::vector<uint32_t> pattern_;
  size_t bytes_max_ = 0;
};

}  // namespace talaria::load
