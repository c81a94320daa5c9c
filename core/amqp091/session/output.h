// What one connection has to say, on its way into TCP's send buffer.
//
// The hot path asks `reserve`, encodes in place and commits. Everything else is never refused: what finds no send
// memory waits here, in order, in the backlog, and while there is one the connection is not read and nothing overtakes
// it. So the backlog holds the answers to at most one turn's input, and the deliveries that were under way (each a
// reference to its message, not a copy). Owned by its connection.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/amqp091/wire/method.h"
#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/base/counters.h"
#include "core/broker/message.h"
#include "core/broker/message_pool.h"
#include "core/broker/operations.h"
#include "core/tcp/stack.h"

namespace talaria::amqp091::session {

using base::Bytes;
using base::MutableBytes;

// Part of a message's payload, by reference; holds one reference to the message.
struct SharedSlice {
  Bytes bytes;
  broker::Message* message = nullptr;
};
// A delivery that has its tag but is not encoded yet; holds one reference to the message. (Its consumer may be gone
// when it is.)
struct HeldDelivery {
  broker::Deliver deliver;
  uint64_t tag = 0;
  std::string consumer_tag;
};
using BacklogItem = std::variant<std::vector<uint8_t>, SharedSlice, HeldDelivery>;
using Backlog = std::deque<BacklogItem>;

class Output {
 public:
  // `octets` counts what is written.
  void open(tcp::Stack& stack, tcp::ConnectionId id, base::Counter& octets) {
    stack_ = &stack;
    id_ = id;
    octets_ = &octets;
  }
  // TCP is gone: what is written from now on is dropped. The backlog stays, its references are the caller's to release.
  void stop() { id_ = {}; }
  bool stopped() const { return !id_; }

  // Nothing waits: what is written now goes straight into TCP.
  bool flowing() const { return backlog_ == nullptr; }

  // ---- hot: n <= tcp::reserve_max; empty when it must wait ----
  MutableBytes reserve(size_t n) {
    if (!flowing()) [[unlikely]]
      return {};
    return stack_->reserve(id_, n);
  }
  void commit(size_t n) {
    stack_->commit(id_, n);
    octets_->add(n);
    wrote_ = true;
  }

  // ---- never refused ----
  void write(Bytes bytes);
  void write_shared(SharedSlice slice, broker::MessagePool& pool);
  void hold(HeldDelivery delivery);
  template <class Method>
  void method(uint16_t channel, const Method& method) {
    uint8_t space[method_frame_max];
    base::Writer out(space);
    wire::emit_method_frame(out, channel, method);
    CHECK(out.ok());
    write({space, out.size()});
  }

  // ---- the backlog ----
  std::unique_ptr<Backlog> take_backlog() {
    backlog_bytes_ = 0;
    return std::move(backlog_);
  }
  // Into TCP, or behind what waits.
  void put(BacklogItem&& item, broker::MessagePool& pool);
  size_t backlog_bytes() const { return backlog_bytes_; }

  // Whether anything was written since the last call.
  bool take_wrote() { return std::exchange(wrote_, false); }

 private:
  // No method we send is larger: four short strings, or our server properties.
  static constexpr size_t method_frame_max = 4096;

  Backlog& backlog() {
    if (!backlog_) backlog_ = std::make_unique<Backlog>();
    return *backlog_;
  }

  tcp::Stack* stack_ = nullptr;
  tcp::ConnectionId id_;
  std::unique_ptr<Backlog> backlog_;
  size_t backlog_bytes_ = 0;
  base::Counter* octets_ = nullptr;
  bool wrote_ = false;
};

}  // namespace talaria::amqp091::session
