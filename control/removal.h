// What goes when something goes: a queue or an exchange takes its bindings with it, and an auto-delete exchange goes
// with the last binding it is the source of, which may be another exchange's, and so on. Add what is to be removed,
// `spread`, and read off everything that must go. It changes nothing itself.
//
// Iterative, so that a long chain of exchanges costs time and no stack.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "control/catalog.h"

namespace talaria::control {

class Removal {
 public:
  void add(Binding& binding);
  void add(Exchange& exchange);
  void add(Queue& queue);
  // With everything in it.
  void add(Vhost& whole);
  void spread();

  bool empty() const { return bindings.empty() && exchanges.empty() && queues.empty() && !vhost; }

  std::map<uint64_t, Binding*> bindings;
  std::map<broker::ExchangeId, Exchange*> exchanges;
  std::map<broker::QueueId, Queue*> queues;
  Vhost* vhost = nullptr;

 private:
  std::unordered_map<const Exchange*, size_t> outgoing_gone_;
  std::vector<Exchange*> pending_;
};

}  // namespace talaria::control
