// The control plane of tests that want workers without one: it says yes to everybody, gives ids out, and sends every
// worker every change; a session is answered when all workers have applied what the answer says. A test may make
// topology itself, send commands, and look at what was reported.
//
// Knows one vhost, "/". A queue is homed where `homes` says, else with the session that declared it. Everything lent to
// workers stays until the end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/worker/mesh.h"

namespace talaria::tests {

class ScriptedControl {
 public:
  explicit ScriptedControl(worker::Mesh& mesh) : mesh_(mesh), applied_(mesh.workers(), 0), waiting_(mesh.workers()) {
    change(broker::AddVhost{vhost, "/"});
    add_exchange("", broker::ExchangeType::direct);
    add_exchange("amq.direct", broker::ExchangeType::direct);
    add_exchange("amq.fanout", broker::ExchangeType::fanout);
    add_exchange("amq.topic", broker::ExchangeType::topic);
  }
  ~ScriptedControl() {
    for (auto& commands : waiting_)
      for (worker::ControlCommand& command : commands) {
        if (auto* passed = std::get_if<worker::PassAnswer>(&command)) delete passed->answer;
        if (auto* close = std::get_if<worker::CloseSession>(&command)) delete close->text;
        if (auto* revoke = std::get_if<worker::RevokeConsumer>(&command)) delete revoke->consumer;
      }
  }
  ScriptedControl(const ScriptedControl&) = delete;
  ScriptedControl& operator=(const ScriptedControl&) = delete;

  // ---- topology ----
  struct Queue {
    broker::QueueId id;
    broker::WorkerIndex home = 0;
    broker::QueueCounters* counters = nullptr;
  };
  void add_exchange(const std::string& name, broker::ExchangeType type,
                    std::shared_ptr<const broker::ExchangeSettings> settings = {}, broker::WorkerIndex home = 0) {
    const broker::ExchangeId id{static_cast<uint32_t>(exchanges_.size()), 1};
    exchanges_[name] = id;
    change(broker::AddExchange{vhost, id, name, type, false, "", std::move(settings), home});
  }
  // With its bindings. None is added after it.
  void remove_exchange(const std::string& name) {
    const broker::ExchangeId id = exchanges_.at(name);
    std::erase_if(bindings_, [&](const broker::Binding& binding) {
      if (binding.source != id) return false;
      change(broker::RemoveBinding{binding});
      return true;
    });
    change(broker::RemoveExchange{vhost, id});
    exchanges_.erase(name);
  }
  bool has_exchange(const std::string& name) const { return exchanges_.contains(name); }
  const Queue& add_queue(const std::string& name, broker::WorkerIndex home, bool auto_delete = false) {
    Queue& queue = queues_[name];
    queue = {{next_queue_++, 1}, home, &counters_.emplace_back()};
    broker::AddQueue add;
    add.vhost = vhost;
    add.id = queue.id;
    add.name = name;
    add.auto_delete = auto_delete;
    add.home = home;
    add.counters = queue.counters;
    change(std::move(add));
    return queue;
  }
  void remove_queue(const std::string& name) {
    const Queue queue = queues_.at(name);
    std::erase_if(bindings_, [&](const broker::Binding& binding) {
      if (binding.queue != queue.id) return false;
      change(broker::RemoveBinding{binding});
      return true;
    });
    change(broker::RemoveQueue{vhost, queue.id});
    queues_.erase(name);
  }
  void bind(const std::string& exchange, const std::string& queue, const std::string& key) {
    bindings_.push_back({vhost, exchanges_.at(exchange), queues_.at(queue).id, {}, key, {}});
    change(broker::AddBinding{bindings_.back()});
  }
  // False while another one moves, or it is there.
  bool move_queue(const std::string& name, broker::WorkerIndex to) {
    const Queue& queue = queues_.at(name);
    if (moving() || queue.home == to) return false;
    moving_ = name;
    moving_to_ = to;
    move_ended_ = 0;
    change(broker::MoveQueue{queue.id, queue.home, to, ++last_move_});
    return true;
  }
  bool moving() const { return !moving_.empty(); }
  bool has_queue(const std::string& name) const { return queues_.contains(name); }
  std::vector<std::string> queue_names() const {
    std::vector<std::string> names;
    for (const auto& [name, queue] : queues_) names.push_back(name);
    return names;
  }
  const Queue& queue(const std::string& name) const { return queues_.at(name); }

  // ---- commands ----
  // Not taken by the mailbox at once: they wait here in order.
  void send(broker::WorkerIndex to, const worker::ControlCommand& command) { waiting_[to].push_back(command); }
  uint64_t changes() const { return changes_.size(); }

  // ---- what was reported ----
  uint64_t applied(broker::WorkerIndex by) const { return applied_[by]; }
  std::map<uint64_t, worker::DeleteChecked> delete_checked;  // by token
  std::map<uint64_t, uint32_t> purged;                       // by token
  size_t drained = 0;
  std::vector<std::string> network_changes;
  size_t frames_watched = 0;
  std::vector<broker::QueueId> unused;
  std::vector<worker::MoveWished> wishes;
  std::vector<broker::MoveOutcome> moves;                // those that are over
  std::map<broker::SessionAddress, std::string> opened;  // sessions that stand, and their peers
  size_t asked = 0;

  // Takes what all workers report, answers, sends. False if there was nothing to do.
  bool turn() {
    bool busy = false;
    for (broker::WorkerIndex worker = 0; worker < mesh_.workers(); worker++) {
      worker::ControlReport report;
      while (mesh_.control(worker).reports.pop(report)) {
        busy = true;
        std::visit([&](const auto& one) { on(worker, one); }, report);
      }
    }
    std::erase_if(answers_, [&, applied = applied_by_all()](auto& waiting) {
      if (applied < waiting.first) return false;
      const broker::WorkerIndex to = waiting.second.to.worker;
      send(to, worker::PassAnswer{new broker::Answer(std::move(waiting.second))});
      return true;
    });
    for (broker::WorkerIndex worker = 0; worker < mesh_.workers(); worker++)
      while (!waiting_[worker].empty() && mesh_.control(worker).commands.push(waiting_[worker].front())) {
        waiting_[worker].pop_front();
        busy = true;
      }
    return busy;
  }

  const broker::VhostId vhost{0, 1};
  std::map<std::string, broker::WorkerIndex> homes;  // by the queue's name

 private:
  void change(broker::TopologyChange what) {
    changes_.push_back(std::move(what));
    for (broker::WorkerIndex worker = 0; worker < mesh_.workers(); worker++)
      send(worker, worker::Apply{changes_.size(), &changes_.back()});
  }
  uint64_t applied_by_all() const {
    uint64_t least = applied_.front();
    for (const uint64_t applied : applied_) least = std::min(least, applied);
    return least;
  }
  // At once.
  template <class Body>
  void answer(const broker::Request& request, Body body, uint64_t after = 0) {
    answers_.emplace_back(after, broker::Answer{request.from, request.token, std::move(body)});
  }
  // When all workers have applied what has been changed so far.
  template <class Body>
  void answer_when_applied(const broker::Request& request, Body body) {
    answer(request, std::move(body), changes_.size());
  }

  void on(broker::WorkerIndex, const worker::FramesWatched&) { frames_watched++; }
  void on(broker::WorkerIndex, const worker::QueueUnused& report) { unused.push_back(report.queue); }
  void on(broker::WorkerIndex, const worker::NetworkChanged& report) {
    network_changes.push_back(*std::unique_ptr<std::string>(report.text));
  }
  void on(broker::WorkerIndex worker, const worker::Applied& report) {
    CHECK(report.sequence > applied_[worker] && report.sequence <= changes_.size());
    applied_[worker] = report.sequence;
  }
  void on(broker::WorkerIndex, const worker::Purged& report) { purged[report.token] = report.count; }
  void on(broker::WorkerIndex, const worker::Drained&) { drained++; }
  void on(broker::WorkerIndex, const worker::MoveWished& report) { wishes.push_back(report); }
  void on(broker::WorkerIndex, const worker::MoveEnded& report) {
    CHECK(moving() && report.move == last_move_);
    if (++move_ended_ != mesh_.workers()) return;
    moves.push_back(report.outcome);
    const auto queue = queues_.find(moving_);
    if (queue != queues_.end() && report.outcome == broker::MoveOutcome::moved) queue->second.home = moving_to_;
    moving_.clear();
  }
  void on(broker::WorkerIndex, const worker::Asked& report) {
    asked++;
    std::visit([&](const auto& body) { on_request(*report.request, body); }, report.request->body);
    delete report.request;
  }
  void on(broker::WorkerIndex, const worker::DeleteChecked& report) {
    delete_checked[report.token] = report;
    const auto found = deleting_.find(report.token);
    if (found == deleting_.end()) return;
    const auto [request, name] = std::move(found->second);
    deleting_.erase(found);
    if (report.verdict != worker::DeleteVerdict::may_go) {
      answer(request, broker::Refusal{broker::RefusalReason::precondition_failed, "queue '" + name + "' is in use"});
      return;
    }
    if (has_queue(name)) remove_queue(name);
    answer_when_applied(request, broker::QueueDeleted{report.ready});
  }

  void on_request(const broker::Request& request, const broker::OpenConnection& body) {
    opened[request.from] = body.peer;
    answer_when_applied(request, broker::ConnectionOpened{vhost});
  }
  void on_request(const broker::Request& request, const broker::CloseConnection&) {
    opened.erase(request.from);
    answer(request, broker::Done{});
  }
  void on_request(const broker::Request& request, const broker::DeclareQueue& body) {
    const std::string name = body.name.empty() ? "amq.gen-" + std::to_string(next_queue_) : body.name;
    const bool created = !has_queue(name);
    if (created) {
      const auto home = homes.find(name);
      add_queue(name, home == homes.end() ? request.from.worker : home->second, body.auto_delete);
    }
    answer_when_applied(request, broker::QueueDeclared{queue(name).id, queue(name).home, name, created});
  }
  void on_request(const broker::Request& request, const broker::DeleteQueue& body) {
    if (!has_queue(body.name)) return answer(request, broker::QueueDeleted{0});
    const uint64_t token = next_token_++;
    deleting_[token] = {request, body.name};
    send(queue(body.name).home, worker::CheckDelete{token, queue(body.name).id, body.if_unused, body.if_empty});
  }
  void on_request(const broker::Request& request, const broker::Bind& body) {
    bind(body.source, body.destination, body.key);
    answer_when_applied(request, broker::Done{});
  }
  // Authorize and the rest: yes. Notices have no token and no answer.
  template <class Body>
  void on_request(const broker::Request& request, const Body&) {
    if (request.token != 0) answer(request, broker::Done{});
  }

  worker::Mesh& mesh_;
  std::deque<broker::TopologyChange> changes_;
  std::deque<broker::QueueCounters> counters_;
  std::map<std::string, broker::ExchangeId> exchanges_;
  std::map<std::string, Queue> queues_;
  std::vector<broker::Binding> bindings_;
  uint32_t next_queue_ = 0;
  std::string moving_;  // the queue that does; empty: none
  broker::WorkerIndex moving_to_ = 0;
  broker::WorkerIndex move_ended_ = 0;  // workers
  uint32_t last_move_ = 0;
  uint64_t next_token_ = 1u << 20;  // a test's own are smaller
  std::map<uint64_t, std::pair<broker::Request, std::string>> deleting_;
  std::vector<uint64_t> applied_;                            // by worker
  std::deque<std::pair<uint64_t, broker::Answer>> answers_;  // each when all have applied so much
  std::vector<std::deque<worker::ControlCommand>> waiting_;  // by worker
};

}  // namespace talaria::tests
