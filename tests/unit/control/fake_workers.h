// Workers as the control plane sees them: each applies changes to a small replica, which checks that they make sense
// (ids are free when something is added, bindings go before what they touch), and answers what it is asked. A test may
// hold a worker back, or leave it no room.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/memory_store.h"
#include "control/plane.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace talaria::control {

class FakeWorker final : public WorkerLink {
 public:
  ~FakeWorker() override {
    for (auto& report : reports_)
      if (auto* asked = std::get_if<worker::Asked>(&report)) delete asked->request;
  }

  bool send(const worker::ControlCommand& command) override {
    if (room == 0) return false;
    if (room > 0) room--;
    commands_.push_back(command);
    return true;
  }
  bool receive(worker::ControlReport& report) override {
    if (reports_.empty()) return false;
    report = reports_.front();
    reports_.pop_front();
    return true;
  }

  // The worker's turn: everything that lies in its mailbox. False when nothing did.
  bool turn() {
    if (held || commands_.empty()) return false;
    while (!commands_.empty()) {
      std::visit([this](auto& command) { on(command); }, commands_.front());
      commands_.pop_front();
    }
    return true;
  }

  void ask(std::unique_ptr<broker::Request> request) { reports_.push_back(worker::Asked{request.release()}); }
  void tell(const worker::ControlReport& report) { reports_.push_back(report); }

  bool held = false;
  int room = -1;  // commands it still takes; -1: any number
  std::vector<std::unique_ptr<broker::Answer>> answers;
  std::vector<std::pair<broker::SessionAddress, std::string>> closed;
  std::vector<broker::CloseCause> close_causes;
  std::vector<std::pair<broker::SessionAddress, broker::RevokedConsumer>> revoked;
  std::vector<worker::CheckDelete> checks;
  std::optional<worker::DeleteVerdict> verdict = worker::DeleteVerdict::may_go;  // nullopt: the test answers
  uint32_t ready = 7;                                                            // messages in every queue
  std::optional<broker::MoveOutcome> outcome = broker::MoveOutcome::moved;       // nullopt: the test says `end_move`
  broker::MoveQueue move;                                                        // then: the last one
  bool replicates = true;  // false: only counts changes (the replica is slow when there are very many)
  bool drains = false, stopped = false;
  net::FrameWatcher* watcher = nullptr;
  uint64_t changes = 0, permission_changes = 0, setting_changes = 0;

  struct Announced {
    std::string exchange, key;
    base::FieldTable headers;
    std::string body;
    std::string content_type = {}, correlation_id = {};
  };
  std::vector<Announced> announcements;
  std::vector<uint8_t> links_up;

  std::map<broker::VhostId, std::string> vhosts;
  std::map<broker::VhostId, broker::ExchangeId> traced;
  std::map<broker::ExchangeId, broker::AddExchange> exchanges;
  std::map<broker::QueueId, broker::AddQueue> queues;
  std::vector<broker::Binding> bindings;
  std::set<std::pair<char, uint32_t>> slots;  // in use, by kind

  void end_move(const broker::MoveQueue& change, broker::MoveOutcome with) {
    auto queue = queues.find(change.id);
    if (queue != queues.end() && with == broker::MoveOutcome::moved) queue->second.home = change.to;
    reports_.push_back(worker::MoveEnded{change.move, with});
  }
  const broker::AddExchange* exchange(const std::string& name) const {
    for (auto& [id, exchange] : exchanges)
      if (exchange.name == name) return &exchange;
    return nullptr;
  }
  std::vector<std::string> exchange_names() const {
    std::vector<std::string> names;
    for (auto& [id, exchange] : exchanges)
      if (!exchange.name.empty() && !exchange.name.starts_with("amq.")) names.push_back(exchange.name);
    return names;
  }
  const broker::AddQueue* queue(const std::string& name) const {
    for (auto& [id, queue] : queues)
      if (queue.name == name) return &queue;
    return nullptr;
  }

 private:
  void on(worker::Apply& command) {
    changes++;
    EXPECT_EQ(command.sequence, changes);
    if (replicates) std::visit([this](const auto& change) { apply(change); }, *command.change);
    reports_.push_back(worker::Applied{command.sequence});
  }
  void on(worker::PassAnswer& command) { answers.emplace_back(command.answer); }
  void on(worker::CheckDelete& command) {
    checks.push_back(command);
    if (!verdict) return;
    EXPECT_TRUE(!replicates || queues.contains(command.queue)) << "only the home is asked, and it knows the queue";
    worker::DeleteVerdict said = worker::DeleteVerdict::may_go;
    if (*verdict == worker::DeleteVerdict::in_use && command.if_unused) said = *verdict;
    if (*verdict == worker::DeleteVerdict::not_empty && command.if_empty) said = *verdict;
    reports_.push_back(worker::DeleteChecked{command.token, said, ready});
  }
  void on(worker::PurgeQueue& command) { reports_.push_back(worker::Purged{command.token, ready}); }
  void on(worker::CloseSession& command) {
    closed.emplace_back(command.session, *command.text);
    close_causes.push_back(command.cause);
    delete command.text;
  }
  void on(worker::RevokeConsumer& command) {
    revoked.emplace_back(command.session, *command.consumer);
    delete command.consumer;
  }
  void on(worker::Announce& command) {
    const std::unique_ptr<broker::Announcement> told(command.announcement);
    const auto properties = amqp091::wire::parse_properties(told->properties);
    ASSERT_TRUE(properties);
    announcements.push_back({told->exchange, told->routing_key, *amqp091::wire::decode_table(properties->headers),
                             told->body, std::string(properties->content_type),
                             std::string(properties->correlation_id)});
  }
  void on(worker::LinkUp& command) { links_up.push_back(command.port); }
  void on(worker::WatchFrames& command) {
    watcher = command.watcher;
    reports_.push_back(worker::FramesWatched{});
  }
  void on(worker::Drain&) {
    drains = true;
    reports_.push_back(worker::Drained{});
  }
  void on(worker::Stop&) { stopped = true; }

  void apply(const broker::AddVhost& change) {
    EXPECT_TRUE(slots.emplace('v', change.id.slot).second);
    EXPECT_TRUE(vhosts.emplace(change.id, change.name).second);
  }
  void apply(const broker::RemoveVhost& change) {
    for (auto& [id, exchange] : exchanges) EXPECT_NE(exchange.vhost, change.id);
    for (auto& [id, queue] : queues) EXPECT_NE(queue.vhost, change.id);
    slots.erase({'v', change.id.slot});
    EXPECT_EQ(vhosts.erase(change.id), 1u);
  }
  void apply(const broker::TraceVhost& change) {
    EXPECT_TRUE(vhosts.contains(change.id));
    EXPECT_TRUE(!change.to || exchanges.contains(change.to));
    traced[change.id] = change.to;
  }
  void apply(const broker::AddExchange& change) {
    EXPECT_TRUE(vhosts.contains(change.vhost));
    EXPECT_TRUE(slots.emplace('e', change.id.slot).second);
    EXPECT_TRUE(exchanges.emplace(change.id, change).second);
  }
  void apply(const broker::ChangeExchange& change) {
    ASSERT_TRUE(exchanges.contains(change.id));
    exchanges[change.id].alternate = change.alternate;
  }
  void apply(const broker::ChangeQueue& change) {
    ASSERT_TRUE(queues.contains(change.id));
    queues[change.id].settings = change.settings;
    setting_changes++;
  }
  void apply(const broker::RemoveExchange& change) {
    for (auto& binding : bindings) {
      EXPECT_NE(binding.source, change.id);
      EXPECT_NE(binding.exchange, change.id);
    }
    slots.erase({'e', change.id.slot});
    EXPECT_EQ(exchanges.erase(change.id), 1u);
  }
  void apply(const broker::AddQueue& change) {
    EXPECT_TRUE(vhosts.contains(change.vhost));
    EXPECT_NE(change.counters, nullptr);
    EXPECT_TRUE(slots.emplace('q', change.id.slot).second);
    EXPECT_TRUE(queues.emplace(change.id, change).second);
  }
  void apply(const broker::MoveQueue& change) {
    ASSERT_TRUE(queues.contains(change.id));
    EXPECT_EQ(queues[change.id].home, change.from);
    EXPECT_NE(change.from, change.to);
    move = change;
    if (outcome) end_move(change, *outcome);
  }
  void apply(const broker::RemoveQueue& change) {
    for (auto& binding : bindings) EXPECT_NE(binding.queue, change.id);
    EXPECT_EQ(queues.count(change.id), 1u);
    // The counters are ours to write until the removal is applied: a sanitizer sees it if they are not.
    if (queues.contains(change.id)) queues[change.id].counters->enqueued.add();
    slots.erase({'q', change.id.slot});
    queues.erase(change.id);
  }
  static bool same(const broker::Binding& a, const broker::Binding& b) {
    return a.vhost == b.vhost && a.source == b.source && a.queue == b.queue && a.exchange == b.exchange &&
           a.key == b.key && base::equivalent(a.arguments, b.arguments);
  }
  void apply(const broker::AddBinding& change) {
    const broker::Binding& binding = change.binding;
    EXPECT_TRUE(exchanges.contains(binding.source));
    EXPECT_TRUE(binding.queue ? queues.contains(binding.queue) : exchanges.contains(binding.exchange));
    for (auto& other : bindings) EXPECT_FALSE(same(other, binding));
    bindings.push_back(binding);
  }
  void apply(const broker::RemoveBinding& change) {
    EXPECT_EQ(std::erase_if(bindings, [&](const auto& binding) { return same(binding, change.binding); }), 1u);
  }
  void apply(const broker::PermissionsChanged&) { permission_changes++; }

  std::deque<worker::ControlCommand> commands_;
  std::deque<worker::ControlReport> reports_;
};

// A plane with three workers, an account guest and, mostly, a memory store.
class PlaneTest : public ::testing::Test {
 protected:
  PlaneTest() { start(memory); }
  // Workers may hold what the plane lent them.
  ~PlaneTest() override { plane.reset(); }

  void start(Store& store, unsigned count = 3) {
    plane.reset();
    workers.clear();
    std::vector<WorkerLink*> links;
    for (unsigned i = 0; i < count; i++) {
      workers.push_back(std::make_unique<FakeWorker>());
      links.push_back(workers.back().get());
    }
    options.random = [this](std::span<uint8_t> out) {
      for (uint8_t& byte : out) byte = static_cast<uint8_t>((random_state = random_state * 1103515245 + 12345) >> 16);
    };
    plane = std::make_unique<Plane>(store, links, options);
    settle();
  }

  // Until nobody has anything to do.
  void settle() {
    for (bool busy = true; busy;) {
      now += std::chrono::milliseconds(1);
      busy = plane->poll(now);
      for (auto& worker : workers) busy = worker->turn() || busy;
    }
  }

  template <class Body>
  uint64_t send(const broker::SessionAddress& from, Body body) {
    uint64_t token = ++last_token;
    auto request = std::make_unique<broker::Request>();
    request->from = from;
    request->token = token;
    request->body = std::move(body);
    workers[from.worker]->ask(std::move(request));
    return token;
  }
  template <class Body>
  void notify(const broker::SessionAddress& from, Body body) {
    auto request = std::make_unique<broker::Request>();
    request->from = from;
    request->body = std::move(body);
    workers[from.worker]->ask(std::move(request));
    settle();
  }

  using Answered = decltype(broker::Answer::body);
  // The answer to that request, if it has come.
  std::optional<Answered> answer_to(const broker::SessionAddress& from, uint64_t token) {
    for (auto& answer : workers[from.worker]->answers)
      if (answer->to == from && answer->token == token) return answer->body;
    return std::nullopt;
  }
  // Sends, lets everybody work, and gives the answer; there must be exactly one.
  template <class Body>
  Answered ask(const broker::SessionAddress& from, Body body) {
    size_t before = workers[from.worker]->answers.size();
    uint64_t token = send(from, std::move(body));
    settle();
    EXPECT_EQ(workers[from.worker]->answers.size(), before + 1);
    auto answer = answer_to(from, token);
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(broker::Refusal{broker::RefusalReason::internal_error, "no answer came"});
  }

  broker::SessionAddress open(broker::WorkerIndex worker, const std::string& user = "guest",
                              const std::string& vhost = "/") {
    broker::SessionAddress address{{++last_session, 1}, worker};
    broker::OpenConnection request;
    request.user = user;
    request.vhost = vhost;
    request.peer = "198.18.0.1:" + std::to_string(40000 + last_session);
    request.protocol = "AMQP 0-9-1";
    EXPECT_TRUE(std::holds_alternative<broker::ConnectionOpened>(ask(address, request)));
    return address;
  }

  static broker::DeclareQueue queue(const std::string& name) { return {.name = name, .arguments = {}}; }
  static broker::DeclareExchange exchange(const std::string& name, const std::string& type = "direct") {
    return {.name = name, .type = type, .arguments = {}};
  }
  static broker::Bind bind(const std::string& source, const std::string& queue, const std::string& key = "k") {
    return {.source = source, .destination = queue, .key = key, .arguments = {}};
  }
  static broker::Bind bind_exchange(const std::string& source, const std::string& destination) {
    return {.source = source, .destination = destination, .destination_is_queue = false, .key = "k", .arguments = {}};
  }

  static ::testing::AssertionResult is_done(const Answered& answer) {
    if (auto* refusal = std::get_if<broker::Refusal>(&answer)) return ::testing::AssertionFailure() << refusal->text;
    return ::testing::AssertionSuccess();
  }
  static ::testing::AssertionResult is_refused(const Answered& answer, broker::RefusalReason reason,
                                               const std::string& text) {
    auto* refusal = std::get_if<broker::Refusal>(&answer);
    if (!refusal) return ::testing::AssertionFailure() << "it was granted";
    if (refusal->reason != reason || refusal->text != text)
      return ::testing::AssertionFailure() << static_cast<int>(refusal->reason) << ": " << refusal->text;
    return ::testing::AssertionSuccess();
  }

  OperatorResult result_of(Ticket ticket) {
    settle();
    auto result = plane->take_result(ticket);
    EXPECT_TRUE(result.has_value());
    return result.value_or(std::unexpected(OperatorError{Fault::store_failed, "no result came"}));
  }

  MemoryStore memory;
  PlaneOptions options{.demo_account = true, .limits = {}, .random = {}};
  std::vector<std::unique_ptr<FakeWorker>> workers;
  std::unique_ptr<Plane> plane;
  base::Time now{};
  uint32_t random_state = 1;
  uint64_t last_token = 0;
  uint32_t last_session = 0;
};

}  // namespace talaria::control
