#include "core/amqp091/session/output.h"

#include <algorithm>

#include "core/amqp091/session/connection.h"

namespace talaria::amqp091::session {

void Output::open(Connection& connection) {
  connection_ = &connection;
  stack_ = &connection.shared->stack;
  id_ = connection.tcp;
  octets_ = &connection.info->bytes_out;
  frames_ = &connection.shared->counters.frames_out;
}

void Output::become_full() {
  full_ = true;
  room_ = slack_ = 0;
  connection_->shared->full.add(*connection_, connection_->full_listed);
}

// A run may pass the watermark, so that the queues' round need not be cut in the middle and its rest be held; but never
// at others' expense. While memory is plentiful (the watermark is what bounds this connection, so twice as much is
// free) by half the watermark, otherwise by half of the room, which leaves a quarter of what was free.
void Output::measure() {
  settle();
  if (full_ || stopped()) return;
  const size_t room = stack_->send_room(id_);
  if (room == 0) return become_full();
  const size_t watermark = stack_->config().send_high_watermark;
  const bool plentiful = stack_->queued(id_) + room >= watermark;
  slack_ = (plentiful ? watermark : room) / 2;
  room_ = room + slack_;
}

void Output::write(Bytes bytes) {
  if (stopped() || bytes.empty()) return;
  settle();
  note_written(bytes.size());
  if (flowing() && stack_->send(id_, bytes)) return measure();
  // Neighbouring pieces become one.
  if (!flowing() && !backlog_->empty())
    if (auto* last = std::get_if<HeldBytes>(&backlog_->back())) {
      last->bytes.insert(last->bytes.end(), bytes.begin(), bytes.end());
      return;
    }
  hold(HeldBytes{{bytes.begin(), bytes.end()}});
}

void Output::hold(BacklogItem&& item) {
  settle();
  if (!backlog_) backlog_ = connection_->shared->backlogs.take();
  backlog_->push_back(std::move(item));
  become_full();
}

bool Output::offer(Bytes bytes) {
  settle();
  if (!flowing() || !stack_->send(id_, bytes)) return false;
  note_written(bytes.size());
  return true;
}

bool Output::offer_shared(Bytes bytes, broker::Message& message) {
  settle();
  if (!flowing() || !stack_->send_shared(id_, bytes, &message)) return false;
  note_written(bytes.size());
  return true;
}

void Output::write_held(HeldBytes&& held) {
  settle();
  while (held.sent != held.bytes.size()) {
    Bytes piece = Bytes(held.bytes).subspan(held.sent);
    piece = piece.first(std::min(piece.size(), tcp::reserve_max));
    if (!stack_->send(id_, piece)) return hold(std::move(held));
    held.sent += piece.size();
  }
}

void Output::put_back(std::unique_ptr<Backlog> rest) {
  BacklogStore& store = connection_->shared->backlogs;
  if (rest->empty()) return store.give(std::move(rest));
  if (backlog_) {
    backlog_->append(*rest);
    store.give(std::move(rest));
  } else {
    backlog_ = std::move(rest);
  }
  become_full();
}

void Output::reopen() {
  full_ = false;
  measure();
}

}  // namespace talaria::amqp091::session
