// A worker's layers without the worker: driven in the order of Worker::poll (core/worker/worker.cc, which see), with
// the cycle counter read between the steps.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/worker/worker.h"
#include "tests/bench/cycles.h"

namespace talaria::bench {

enum class Step : uint8_t {
  commands,    // of the control plane
  receive,     // net: frames -> datagrams
  tcp_input,   // tcp: datagrams -> bytes in order; timers
  publish,     // sessions, broker: bytes -> frames -> messages -> queues; settlements
  dispatch,    // broker: queues -> deliveries; events to sessions
  deliver,     // sessions: deliveries -> frames in send buffers
  end_turn,    // sessions: confirms
  tcp_output,  // tcp: send buffers -> segments
  flush,       // net: to the port
};
inline constexpr std::array<std::string_view, 9> step_names = {
    "commands",         "host receive", "tcp input",  "parse + publish", "dispatch",
    "encode + deliver", "confirms",     "tcp output", "flush",
};
using StepCycles = std::array<uint64_t, step_names.size()>;

class StepWorker {
 public:
  StepWorker(const worker::WorkerConfig& config, net::Device& device, worker::Mesh& mesh)
      : config_(config),
        mesh_(mesh),
        host_(config.hosts[0], device, config.key),
        stack_(config.tcp, host_, config.key, config.memory),
        arena_(config.message_memory),
        outbox_(1, config.deliveries_per_turn),
        pool_(arena_, outbox_, 0, config.marks),
        engine_(0, 1, pool_, outbox_, mesh.pressure()),
        sessions_(config.session, 0, stack_, engine_, pool_, config.key, &latency_) {
    CHECK(stack_.listen(config.amqp_port));
  }

  // Adds what each step took.
  void poll(base::Time now, StepCycles& cycles) {
    uint64_t last = cycles_now();
    const auto mark = [&](Step step) {
      const uint64_t here = cycles_now();
      cycles[static_cast<size_t>(step)] += here - last;
      last = here;
    };
    take_commands(now);
    mark(Step::commands);
    host_.receive(now);
    mark(Step::receive);
    stack_.on_segments(host_.datagrams(), now);
    host_.on_time(now);
    stack_.on_time(now);
    mark(Step::tcp_input);
    sessions_.on_time(now);
    visit_connections(now);
    mark(Step::publish);
    pass_events(now);
    for (size_t left = config_.deliveries_per_turn; left != 0;) {
      const auto round = static_cast<uint32_t>(std::min<size_t>(left, 128));
      const uint32_t delivered = engine_.dispatch(now, round);
      pass_events(now);
      mark(Step::dispatch);
      sessions_.on_deliveries(outbox_.deliveries, now);
      outbox_.deliveries.clear();
      mark(Step::deliver);
      left -= delivered;
      if (delivered < round) break;
    }
    sessions_.end_turn(now);
    pass_events(now);
    mark(Step::end_turn);
    stack_.end_input(now);
    stack_.output(now);
    mark(Step::tcp_output);
    host_.flush();
    mark(Step::flush);
    send_reports();
    mark(Step::commands);
  }

  const net::Host& host() const { return host_; }
  const tcp::Stack& stack() const { return stack_; }

 private:
  void take_commands(base::Time now) {
    worker::ControlCommand command;
    while (mesh_.control(0).commands.pop(command)) {
      if (const auto* apply = std::get_if<worker::Apply>(&command)) {
        engine_.apply(*apply->change, now);
        reports_.push_back(worker::Applied{apply->sequence});
      } else if (const auto* passed = std::get_if<worker::PassAnswer>(&command)) {
        const std::unique_ptr<broker::Answer> answer(passed->answer);
        sessions_.on_answer(std::move(*answer), now);
      } else {
        CHECK(false);  // a command that no benchmark sends
      }
    }
  }
  void visit_connections(base::Time now) {
    sessions_.on_turn(now);
    for (const tcp::Event& event : stack_.events()) {
      if (event.accepted) sessions_.on_accepted(event.id, now);
      if (event.readable) sessions_.on_readable(event.id, now);
      if (event.writable) sessions_.on_writable(event.id, now);
      if (event.peer_finished) sessions_.on_peer_finished(event.id, now);
      if (event.closed) sessions_.on_closed(event.id, event.reason, now);
    }
    stack_.clear_events();
    sessions_.on_released(stack_.take_released());
  }
  void pass_events(base::Time now) {
    while (!outbox_.events.empty()) {
      events_.swap(outbox_.events);
      for (const broker::Event& event : events_) sessions_.on_event(event, now);
      events_.clear();
    }
  }
  void send_reports() {
    for (broker::Request* request : sessions_.take_requests()) reports_.push_back(worker::Asked{request});
    if (reports_.empty()) return;
    CHECK(mesh_.control(0).reports.push(reports_) == reports_.size());
    reports_.clear();
  }

  const worker::WorkerConfig config_;
  worker::Mesh& mesh_;
  base::Histogram latency_;
  net::Host host_;
  tcp::Stack stack_;
  base::Arena arena_;
  broker::Outbox outbox_;
  broker::MessagePool pool_;
  broker::Engine engine_;
  amqp091::session::Sessions sessions_;
  std::vector<broker::Event> events_;
  std::vector<worker::ControlReport> reports_;
};

}  // namespace talaria::bench
