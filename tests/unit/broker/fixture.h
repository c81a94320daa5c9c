// One worker's broker with memory of its own, and short words for what the tests say to it.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/broker/engine.h"

namespace talaria::broker {

struct TestWorker {
  explicit TestWorker(WorkerIndex self = 0, WorkerIndex workers = 1, PressureBoard* shared_board = nullptr,
                      size_t blocks = 64, EngineLimits limits = {}, MessagePool::Marks marks = {})
      : memory((blocks + 1) * base::Arena::block_bytes),
        arena(memory),
        outbox(workers),
        pool(arena, outbox, self, marks),
        board(shared_board ? *shared_board : own_board),
        engine(std::make_unique<Engine>(self, workers, pool, outbox, board, limits)) {}
  ~TestWorker() {
    for (const Deliver& delivery : outbox.deliveries) pool.release(delivery.message);
    for (const DeadMessage& dead : outbox.dead) pool.release(dead.message);
    for (const Event& event : outbox.events)
      if (const Got* got = std::get_if<Got>(&event); got && got->message) pool.release(got->message);
  }

  std::vector<uint8_t> memory;
  base::Arena arena;
  Outbox outbox;
  MessagePool pool;
  PressureBoard own_board;
  PressureBoard& board;
  std::unique_ptr<Engine> engine;

  Message* message(std::string_view body, std::string_view key = "", uint64_t expiration_ms = Message::never_expires,
                   uint8_t priority = 0) {
    MessageHead head;
    head.routing_key = key;
    head.body_size = body.size();
    head.expiration_ms = expiration_ms;
    head.priority = priority;
    auto builder = pool.begin(head);
    if (!builder || !builder->append(base::as_bytes(body))) return nullptr;
    return builder->finish();
  }
  void apply(const TopologyChange& change) { engine->apply(change, {}); }

  // Takes the first event of a kind out of the outbox.
  template <class Kind>
  std::optional<Kind> take_event() {
    for (size_t i = 0; i < outbox.events.size(); i++)
      if (const Kind* found = std::get_if<Kind>(&outbox.events[i])) {
        Kind out = *found;
        outbox.events.erase(outbox.events.begin() + static_cast<std::ptrdiff_t>(i));
        return out;
      }
    return std::nullopt;
  }
  // Nothing is left: no message, no memory.
  void expect_all_home() {
    EXPECT_EQ(pool.messages(), 0u);
    EXPECT_EQ(arena.used_bytes(), 0u);
    arena.check_invariants();
  }
};

inline std::string body_of(const Message* message) {
  std::string out;
  for (PayloadCursor body = message->body(); !body.done();) out += base::as_text(body.next());
  return out;
}

inline ChannelAddress channel(uint32_t session = 1, WorkerIndex worker = 0, uint16_t number = 1) {
  return {{session, 1}, worker, number, 1};
}
inline ConsumerAddress consumer(uint32_t number, WorkerIndex worker = 0) { return {channel(1, worker), number}; }

// The control plane's part: gives ids out, makes changes.
struct TestTopology {
  VhostId vhost{0, 1};
  uint32_t next_queue = 0, next_exchange = 0;
  std::map<std::string, QueueId> queues;
  std::map<std::string, ExchangeId> exchanges;
  std::deque<QueueCounters> counters;
  std::map<std::string, QueueCounters*> counters_of;

  TopologyChange add_vhost() { return AddVhost{vhost, "/"}; }
  TopologyChange add_exchange(const std::string& name, ExchangeType type, const std::string& alternate = "") {
    ExchangeId id{next_exchange++, 1};
    exchanges[name] = id;
    return AddExchange{vhost, id, name, type, false, alternate};
  }
  TopologyChange remove_exchange(const std::string& name) { return RemoveExchange{vhost, exchanges[name]}; }
  TopologyChange add_queue(const std::string& name, WorkerIndex home = 0, bool auto_delete = false,
                           const std::optional<QueueSettings>& settings = {}) {
    QueueId id{next_queue++, 1};
    queues[name] = id;
    AddQueue add;
    add.vhost = vhost;
    add.id = id;
    add.name = name;
    add.auto_delete = auto_delete;
    add.home = home;
    if (settings) add.settings = std::make_shared<const QueueSettings>(*settings);
    add.counters = counters_of[name] = &counters.emplace_back();
    return add;
  }
  TopologyChange change_queue(const std::string& name, std::optional<QueueSettings> settings) {
    if (!settings) return ChangeQueue{queues[name]};
    settings->queue = name;
    return ChangeQueue{queues[name], std::make_shared<const QueueSettings>(*std::move(settings))};
  }
  TopologyChange remove_queue(const std::string& name) { return RemoveQueue{vhost, queues[name]}; }
  Binding to_queue(const std::string& source, const std::string& queue, const std::string& key,
                   const base::FieldTable& arguments = {}) {
    return {vhost, exchanges[source], queues[queue], {}, key, arguments};
  }
  Binding to_exchange(const std::string& source, const std::string& destination, const std::string& key,
                      const base::FieldTable& arguments = {}) {
    return {vhost, exchanges[source], {}, exchanges[destination], key, arguments};
  }
};

}  // namespace talaria::broker
