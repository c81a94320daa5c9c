// The firehose: copies of what clients publish to a vhost and of what is delivered to them from its queues, while an
// operator has the vhost traced (broker::TraceVhost). They go to the vhost's trace exchange, which is a topic exchange:
//
//   publish.{exchange}    when a client's message was taken, wherever it goes
//   deliver.{queue}       when it was written to a consumer, or got
//
// The body is the message's, the headers say the rest (docs/OPERATING.md), as RabbitMQ's amq.rabbitmq.trace has them.
// Copies of copies are not made.
//
//   waiting_   oldest first, each with a reference to the message; bodies are copied at the end of the turn, as much as
//      |       a turn may
//      v
//   Engine::publish, to whatever is bound by then
//
// A copy is lost, and counted, when more wait than may, or where there is no room or the worker is short of memory:
// what is looked at must not stand still for it. Who is not traced pays a test for each delivery, and nothing else: a
// publish asks Engine::tracing() where it does not take the short way, and takes no short way while it is so.
//
// One a worker, owned by Shared.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/amqp091/session/body_copy.h"
#include "core/base/field.h"
#include "core/broker/address.h"
#include "core/broker/message_pool.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

struct Channel;
struct Shared;

class Traces {
 public:
  static constexpr size_t waiting_max = 16384;
  static constexpr size_t waiting_bytes_max = 8u << 20;  // of headers that wait

  Traces() = default;
  Traces(const Traces&) = delete;
  Traces& operator=(const Traces&) = delete;

  // While Engine::tracing(). Both look whether it is the channel's vhost that is traced.
  void published(const Channel& channel, broker::Message& message, std::span<broker::QueueRecord* const> queues);
  void delivered(const Channel& channel, std::string_view queue, broker::Message& message, bool redelivered);

  bool empty() const { return waiting_.empty(); }
  // A turn's work.
  void work(Shared& shared);
  void abandon(broker::MessagePool& pool);

 private:
  struct Waiting {
    broker::VhostId vhost;
    broker::Message* message = nullptr;
    std::string routing_key;
    std::vector<uint8_t> properties;
  };

  void add(const Channel& channel, std::string_view what, std::string_view name, broker::Message& message,
           base::FieldTable more);
  Copying one(Shared& shared, size_t& budget);

  std::deque<Waiting> waiting_;
  size_t waiting_bytes_ = 0;
  BodyCopy copy_;  // of the first one's
};

}  // namespace talaria::amqp091::session
