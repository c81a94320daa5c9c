// Queues move to where their traffic is: one at a time over the whole process (core/broker/move.h has the course of a
// move). A home is nothing that is stored: after a restart a queue begins where its name puts it.

#include <spdlog/spdlog.h>

#include "control/plane.h"
#include "control/printable.h"

namespace talaria::control {

void Plane::on_wish(const worker::MoveWished& wish, broker::WorkerIndex from) {
  Queue* queue = catalog_.queue(wish.queue);
  // It has moved, or gone, since.
  if (!queue || queue->home != from || wish.to >= workers_.size()) {
    counts_.strays++;
  } else if (!options_.move_queues) {
    counts_.moves_refused_off++;
  } else if (move_) {
    counts_.moves_refused_busy++;
  } else if (queue->moved != base::Time{} && now_ - queue->moved < options_.move_interval) {
    counts_.moves_refused_too_soon++;
  } else {
    move_queue(wish.queue, wish.to);
  }
}

bool Plane::move_queue(broker::QueueId id, broker::WorkerIndex to) {
  Queue* queue = catalog_.queue(id);
  if (!queue || queue->home == to || to >= workers_.size() || move_ || drain_sent_) return false;
  queue->moved = now_;
  move_ = Move{id, to, 0, broker::MoveOutcome::moved, {}};
  broadcast(broker::MoveQueue{id, queue->home, to, ++last_move_});
  return true;
}

void Plane::on_move_ended(const worker::MoveEnded& report) {
  CHECK(move_ && report.move == last_move_);
  move_->outcome = report.outcome;
  if (++move_->ended != workers_.size()) return;
  Move move = *std::exchange(move_, std::nullopt);
  Queue* queue = catalog_.queue(move.queue);
  switch (move.outcome) {
    case broker::MoveOutcome::moved: counts_.moves_made++; break;
    case broker::MoveOutcome::too_long: counts_.moves_refused_too_long++; break;
    case broker::MoveOutcome::no_memory: counts_.moves_refused_no_memory++; break;
    case broker::MoveOutcome::gone: counts_.moves_refused_gone++; break;
  }
  if (queue && move.outcome == broker::MoveOutcome::moved) {
    spdlog::debug("queue '{}' in vhost '{}' moved from worker {} to worker {}", printable(queue->name),
                  printable(queue->vhost->name), queue->home, move.to);
    queue->home = move.to;
  }
  if (queue) govern(*queue);
  for (Question& question : move.questions)
    if (queue)
      ask_home(std::move(question), *queue);
    else
      finish(question.check, 0);
}

}  // namespace talaria::control
