#include "core/amqp091/session/body_copy.h"

namespace talaria::amqp091::session {

bool BodyCopy::begin(broker::MessagePool& pool, const broker::MessageHead& head, const broker::Message& from) {
  builder_ = pool.begin(head);
  if (builder_) left_ = from.body();
  return builder_.has_value();
}

Copying BodyCopy::work(size_t& budget, broker::Message*& made) {
  while (builder_->missing() != 0 && budget != 0) {
    const base::Bytes piece = left_->next(budget);
    budget -= piece.size();
    if (!builder_->append(piece)) {
      // Promised memory that was not there, which is never seen.
      abandon();
      return Copying::blocked;
    }
  }
  if (builder_->missing() != 0) return Copying::out_of_budget;
  made = builder_->finish();
  abandon();
  return Copying::done;
}

void BodyCopy::abandon() {
  builder_.reset();
  left_.reset();
}

}  // namespace talaria::amqp091::session
