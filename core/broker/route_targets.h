// Where a message goes: the answer of `route` and its working memory in one, kept by the caller from message to message
// so that routing allocates nothing once it has grown to the widest fan-out seen.
//
// A queue or exchange that was reached carries the routing's mark (a number that only ever rises, one count a vhost),
// so "have we been here" costs a comparison and never a sort.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/field.h"
#include "core/broker/binding.h"
#include "core/broker/queue_record.h"

namespace talaria::broker {

struct TopicNode;

// One word of a topic key, hashed once.
struct TopicWord {
  std::string_view text;
  uint64_t hash = 0;
};

// The message's headers by name, built once a routing, and only if a headers exchange is reached. A few are searched
// one by one, many are sorted: a stranger chose the names, so nothing here depends on an unkeyed hash.
class HeaderIndex {
 public:
  void build(std::span<const base::HeaderView> headers);
  void clear() { built_ = false; }
  bool built() const { return built_; }
  // The last header of that name, or nullptr.
  const base::FieldView* find(std::string_view name) const;

 private:
  static constexpr size_t searched_max = 12;

  std::span<const base::HeaderView> headers_;
  std::vector<uint32_t> sorted_;  // by name, then by place; empty when there are few
  bool built_ = false;
};

// What of a message may decide where it goes, besides its routing keys. Views of the message.
struct RouteFacts {
  RouteFacts() = default;
  RouteFacts(std::span<const base::HeaderView> headers_) : headers(headers_) {}

  std::span<const base::HeaderView> headers = {};
  std::string_view correlation_id = {};
  std::string_view message_id = {};
  uint64_t timestamp = 0;  // 0: none
};

class RouteTargets {
 public:
  explicit RouteTargets(size_t expected = 256) {
    queues_.reserve(expected);
    exchanges_.reserve(16);
  }

  // Each queue once, in no particular order.
  std::span<QueueRecord* const> queues() const { return queues_; }
  bool empty() const { return queues_.empty(); }

 private:
  friend class Exchange;
  friend class DirectBindings;
  friend class FanoutBindings;
  friend class TopicBindings;
  friend class HeadersBindings;
  friend class ChoiceBindings;

  void begin(uint64_t mark) {
    mark_ = mark;
    queues_.clear();
    exchanges_.clear();
    headers_.clear();
  }
  void add(const Destination& destination) {
    if (destination.queue)
      add(destination.queue);
    else
      add(destination.exchange);
  }
  void add(QueueRecord* queue) {
    if (queue->mark == mark_) return;
    queue->mark = mark_;
    queues_.push_back(queue);
  }
  void add(Exchange* exchange);

  uint64_t mark_ = 0;
  std::vector<QueueRecord*> queues_;
  std::vector<Exchange*> exchanges_;  // reached, in the order of discovery
  // Working memory of the exchange types.
  std::vector<TopicWord> words_;
  std::vector<TopicNode*> topic_here_, topic_next_, topic_hashes_;
  HeaderIndex headers_;
};

}  // namespace talaria::broker
