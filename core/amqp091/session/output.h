// What one connection has to say, on its way into TCP's send queue, and its bound.
//
// The output is `full` while TCP's queue of this connection is as long as it may be (tcp::Stack::send_room: the high
// watermark, or half of the send memory that is still free), or TCP had no memory at all. Then the connection's
// consumers are paused, its confirms wait (and merge), no content is begun or carried on, and its input stops at the
// first frame that has to be answered. That is back-pressure: nothing is lost, nothing is closed, and others have their
// own queues. It ends with TCP's `writable`.
//
// So beyond TCP's queue no more can wait than what was under way. It stands in the backlog, in order, nothing overtakes
// it:
//   the answer to the one frame that filled the queue, and what the broker says unasked: closes, cancels   octets
//   the content that was being written (of a delivery, a return or a get)                                  a reference
//   deliveries the queues had handed out before they learned of the pause: a turn's, or, of queues on
//     other workers, EngineLimits::handover_window for each consumer                                       references
// And TCP's queue overshoots the watermark by half of it at most (the hot way, see `measure`), or by one properties
// list and one piece of a body. Owned by its connection.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/amqp091/session/backlog.h"
#include "core/amqp091/wire/method.h"
#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/base/counters.h"
#include "core/broker/message.h"
#include "core/tcp/stack.h"

namespace talaria::amqp091::session {

using base::Bytes;
using base::MutableBytes;

struct Connection;

class Output {
 public:
  void open(Connection& connection);
  // TCP is gone: what is written from now on is dropped. The backlog stays, its references are the caller's to release.
  void stop() {
    id_ = {};
    room_ = 0;
    open_ = {};
    unsettled_ = 0;
  }
  bool stopped() const { return !id_; }

  bool full() const { return full_; }
  // How much waits here.
  size_t held() const { return backlog_ ? backlog_->size() : 0; }
  // Nothing waits here: what is written now goes straight into TCP.
  bool flowing() const { return backlog_ == nullptr; }
  // Octets until TCP's queue is as long as it may be. (Asks TCP; may not be 0 while `full` still stands.)
  size_t room() {
    settle();
    return stack_->send_room(id_);
  }

  // ---- hot ----
  // Before a run of what may be written the hot way: how much that is.
  void measure();
  // The watermark is passed, or nearly: `measure` knows.
  bool near_full() const { return room_ <= slack_; }
  // n <= tcp::reserve_max; empty when it has to go the other way. What is committed of several such pieces, one behind
  // the other in TCP's memory, is handed to TCP at once: by `settle` at the end of a run, before the connection is
  // left.
  MutableBytes reserve(size_t n) {
    if (n > room_) [[unlikely]]
      return {};
    if (n > open_.size()) {
      settle();
      open_ = stack_->reserve(id_, n);
    }
    return open_.first(std::min(n, open_.size()));
  }
  void commit(size_t n) {
    open_ = open_.subspan(n);
    unsettled_ += n;
    room_ -= n;
  }
  void settle() {
    open_ = {};
    if (unsettled_ == 0) return;
    const size_t n = std::exchange(unsettled_, 0);
    stack_->commit(id_, n);
    note_written(n);
  }
  bool settled() const { return unsettled_ == 0 && open_.empty(); }

  // ---- never refused ----
  void write(Bytes bytes);
  void hold(BacklogItem&& item);
  template <class Method>
  void method(uint16_t channel, const Method& method) {
    frames_->add();
    method_of_content(channel, method);
  }
  // Whoever writes a message counts its frames, this one among them.
  template <class Method>
  void method_of_content(uint16_t channel, const Method& method) {
    uint8_t space[method_frame_max];
    base::Writer out(space);
    wire::emit_method_frame(out, channel, method);
    CHECK(out.ok());
    write({space, out.size()});
  }

  // ---- all or nothing: false if TCP has no memory for it or something waits. What is left must be held then ----
  bool offer(Bytes bytes);
  // By reference; takes one reference to `message` from the caller when it answers true.
  bool offer_shared(Bytes bytes, broker::Message& message);

  // ---- the backlog ----
  // Takes it all out, for whoever writes it (again); what is left of it then comes behind what was held meanwhile,
  // which is the front of it that did not go out whole.
  std::unique_ptr<Backlog> take_backlog() { return std::move(backlog_); }
  void put_back(std::unique_ptr<Backlog> rest);
  void write_held(HeldBytes&& held);
  // TCP takes more and nothing waits: no longer full.
  void reopen();

  // Whether anything was written since the last call.
  bool take_wrote() { return std::exchange(wrote_, false); }

 private:
  // No method we send is larger: four short strings, or our server properties.
  static constexpr size_t method_frame_max = 4096;

  void become_full();
  void note_written(size_t n) {
    octets_->add(n);
    wrote_ = true;
  }

  tcp::Stack* stack_ = nullptr;
  tcp::ConnectionId id_;
  bool full_ = false;
  bool wrote_ = false;
  size_t room_ = 0;       // what `reserve` may still give out
  size_t slack_ = 0;      // how much of it lies beyond the watermark
  MutableBytes open_;     // reserved with TCP and not filled yet
  size_t unsettled_ = 0;  // filled before it, and not TCP's yet
  std::unique_ptr<Backlog> backlog_;
  base::Counter *octets_ = nullptr, *frames_ = nullptr;
  Connection* connection_ = nullptr;
};

}  // namespace talaria::amqp091::session
