#include "core/amqp091/session/output.h"

namespace talaria::amqp091::session {

void Output::write(Bytes bytes) {
  if (stopped() || bytes.empty()) return;
  wrote_ = true;
  octets_->add(bytes.size());
  if (flowing() && stack_->send(id_, bytes)) return;
  backlog_bytes_ += bytes.size();
  // Neighbouring pieces become one.
  if (!flowing() && !backlog_->empty())
    if (auto* last = std::get_if<std::vector<uint8_t>>(&backlog_->back())) {
      last->insert(last->end(), bytes.begin(), bytes.end());
      return;
    }
  backlog().emplace_back(std::vector<uint8_t>(bytes.begin(), bytes.end()));
}

void Output::write_shared(SharedSlice slice, broker::MessagePool& pool) {
  if (!stopped()) {
    wrote_ = true;
    octets_->add(slice.bytes.size());
  }
  put(slice, pool);
}

void Output::hold(HeldDelivery delivery) { backlog().emplace_back(std::move(delivery)); }

void Output::put(BacklogItem&& item, broker::MessagePool& pool) {
  if (auto* slice = std::get_if<SharedSlice>(&item)) {
    if (stopped()) return pool.release(slice->message);
    if (flowing() && stack_->send_shared(id_, slice->bytes, slice->message)) return;
  } else if (auto* bytes = std::get_if<std::vector<uint8_t>>(&item)) {
    if (stopped() || (flowing() && stack_->send(id_, *bytes))) return;
    backlog_bytes_ += bytes->size();
  }
  backlog().push_back(std::move(item));
}

}  // namespace talaria::amqp091::session
