#include "control/removal.h"

namespace talaria::control {

void Removal::add(Binding& binding) {
  if (!bindings.emplace(binding.serial, &binding).second) return;
  Exchange& source = *binding.source;
  size_t gone = ++outgoing_gone_[&source];
  if (source.auto_delete && gone == source.outgoing.size()) add(source);
}

void Removal::add(Exchange& exchange) {
  if (exchanges.emplace(exchange.id, &exchange).second) pending_.push_back(&exchange);
}

void Removal::add(Queue& queue) {
  if (!queues.emplace(queue.id, &queue).second) return;
  for (auto& [serial, binding] : queue.incoming) add(*binding);
}

void Removal::add(Vhost& whole) {
  vhost = &whole;
  for (auto& [name, queue] : whole.queues) add(*queue);
  for (auto& [name, exchange] : whole.exchanges) add(*exchange);
}

void Removal::spread() {
  while (!pending_.empty()) {
    Exchange& exchange = *pending_.back();
    pending_.pop_back();
    for (auto& [serial, binding] : exchange.outgoing) add(*binding);
    for (auto& [serial, binding] : exchange.incoming) add(*binding);
  }
}

}  // namespace talaria::control
