// The run, from the first connection to the last.
#include <algorithm>

#include "core/amqp091/wire/table.h"
#include "core/base/check.h"
#include "load/driver.h"

namespace talaria::load {

namespace wire = amqp091::wire;

namespace {

// Handshakes under way at a time.
constexpr size_t opening_max = 128;
// Asked by a steward and not yet answered.
constexpr uint32_t answers_max = 32;
constexpr size_t ephemeral_ports = 16'000;
constexpr base::Duration closing_patience = 2s;
// How long after the end a copy of what came already is waited for.
constexpr base::Duration linger = 20ms;

std::vector<uint8_t> encoded_table(const base::FieldTable& table) {
  std::vector<uint8_t> encoded(wire::table_size(table));
  base::Writer out(encoded);
  wire::emit_table(out, table);
  CHECK(out.ok());
  return encoded;
}

}  // namespace

std::string_view to_text(Phase phase) {
  switch (phase) {
    case Phase::connecting: return "connecting";
    case Phase::declaring: return "declaring";
    case Phase::subscribing: return "subscribing";
    case Phase::opening: return "opening";
    case Phase::resting: return "resting";
    case Phase::filling: return "filling";
    case Phase::warming: return "warming";
    case Phase::measuring: return "measuring";
    case Phase::draining: return "draining";
    case Phase::deleting: return "deleting";
    case Phase::closing: return "closing";
    case Phase::ended: return "ended";
    case Phase::failed: return "failed";
  }
  return "";
}

void Driver::enter(Phase phase, base::Time now) {
  phase_since_ = last_progress_ = now;
  last_count_ = 0;
  phase_.store(phase, std::memory_order_release);
}

std::unique_ptr<Connection> Driver::connect(Place place, base::Time now) {
  // There are 16384 ephemeral ports; with more connections all ports are gone through in order.
  std::optional<uint16_t> port;
  if (plan_.connections() >= ephemeral_ports) port = next_port_++;
  auto id = stack_.connect(broker_, port, now);
  CHECK(id.has_value());
  CHECK(id->slot < places_.size());
  places_[id->slot] = place;
  return std::make_unique<Connection>(stack_, *id, plan_);
}

void Driver::step(base::Time now) {
  // Setting up, something has to move now and then.
  const auto moves = [&](uint64_t count) {
    if (count != last_count_) {
      last_count_ = count;
      last_progress_ = now;
    }
    if (now - last_progress_ > plan_.setup_patience)
      fail("the broker does not answer, while " + std::string(to_text(phase())));
  };
  switch (phase()) {
    case Phase::connecting:
      moves(0);
      for (const Steward& steward : stewards_)
        if (!steward.connection->is_open()) return;
      if (plan_.exchange != ExchangeKind::none) jobs_.push_back({1, &Driver::declare_exchange});
      jobs_.push_back({plan_.queues, &Driver::declare_queue});
      if (plan_.exchange != ExchangeKind::none && !plan_.to_all())
        jobs_.push_back({plan_.binding_count(), &Driver::declare_binding});
      return enter(Phase::declaring, now);
    case Phase::declaring:
      moves(answered_);
      if (do_next_job()) enter(plan_.at_rest == 0 ? Phase::subscribing : Phase::opening, now);
      return;
    case Phase::subscribing:
      moves(answered_);
      subscribe(now);
      if (ready_ < plan_.consumers) return;
      ready_ = 0;
      return enter(plan_.at_rest == 0 ? Phase::opening : Phase::draining, now);
    case Phase::opening:
      moves(ready_ + 1);
      open_producers(now);
      if (ready_ < plan_.producers) return;
      if (plan_.paced()) schedule_ = Schedule(now, plan_.rate);
      active_.clear();
      std::fill(is_active_.begin(), is_active_.end(), uint8_t{0});
      for (uint32_t index = 0; index < plan_.producers; index++) activate(index);
      if (plan_.at_rest != 0) {
        ready_ = 0;
        at_begin_ = totals(now);
        return enter(Phase::filling, now);
      }
      window_ = {now + plan_.warm_up, now + plan_.warm_up + plan_.window};
      return enter(Phase::warming, now);
    case Phase::filling:
      moves(published_.value());
      if (published_.value() == plan_.at_rest) enter(Phase::resting, now);
      return;
    case Phase::resting: return rest(now);
    case Phase::warming:
      if (now < window_.begin) return;
      at_begin_ = totals(now);
      return enter(Phase::measuring, now);
    case Phase::measuring:
      if (now < window_.end) return;
      at_end_ = totals(now);
      return enter(Phase::draining, now);
    case Phase::draining: return drain(now);
    case Phase::deleting:
      moves(answered_);
      if (over() || !do_next_job()) return;
      close_all();
      return enter(Phase::closing, now);
    case Phase::closing:
      if (gone_ < connections_.size() + stewards_.size() && now - phase_since_ < closing_patience) return;
      return enter(Phase::ended, now);
    case Phase::ended:
    case Phase::failed: return;
  }
}

// ---- what is asked of the broker besides messages -------------------------------------------------------------------

// True when every job is done.
bool Driver::do_next_job() {
  while (!jobs_.empty()) {
    Job& job = jobs_.front();
    bool all_answered = true;
    for (Steward& steward : stewards_) {
      for (; job.next < job.count && steward.answers < answers_max; job.next++) (this->*job.ask)(job.next, steward);
      all_answered &= steward.answers == 0;
    }
    if (job.next < job.count || !all_answered) return false;
    jobs_.erase(jobs_.begin());
  }
  return true;
}

template <class Method>
void Driver::Steward::ask(const Method& method) {
  connection->send(the_channel, method);
  answers++;
}

// What may be left of an earlier run goes first: its messages would be strangers here.
void Driver::declare_exchange(uint32_t, Steward& steward) {
  const std::string exchange = plan_.exchange_name();
  steward.ask(wire::exchange::Delete{.exchange = exchange});
  wire::exchange::Declare declare;
  declare.exchange = exchange;
  declare.type = to_text(plan_.exchange);
  steward.ask(declare);
}

void Driver::declare_queue(uint32_t queue, Steward& steward) {
  const std::string name = plan_.queue_name(queue);
  steward.ask(wire::queue::Delete{.queue = name});
  wire::queue::Declare declare;
  declare.queue = name;
  steward.ask(declare);
  if (!plan_.to_all()) return;
  const std::string exchange = plan_.exchange_name();
  wire::queue::Bind bind;
  bind.queue = name;
  bind.exchange = exchange;
  steward.ask(bind);
}

void Driver::declare_binding(uint32_t number, Steward& steward) {
  const Route& route = routes_[number];
  const std::string name = plan_.queue_name(route.queue), exchange = plan_.exchange_name();
  base::FieldTable arguments = route.headers;
  if (plan_.exchange == ExchangeKind::headers) arguments.push_back({"x-match", {std::string("all")}});
  const std::vector<uint8_t> table = encoded_table(arguments);
  wire::queue::Bind bind;
  bind.queue = name;
  bind.exchange = exchange;
  bind.routing_key = route.binding_key;
  bind.arguments.bytes = base::Bytes(table).subspan(4);
  steward.ask(bind);
}

void Driver::count_queue(uint32_t queue, Steward& steward) {
  const std::string name = plan_.queue_name(queue);
  wire::queue::Declare declare;
  declare.queue = name;
  declare.passive = true;
  steward.ask(declare);
}

void Driver::delete_queue(uint32_t queue, Steward& steward) {
  const std::string name = plan_.queue_name(queue);
  steward.ask(wire::queue::Delete{.queue = name});
}

void Driver::delete_exchange(uint32_t, Steward& steward) {
  const std::string exchange = plan_.exchange_name();
  steward.ask(wire::exchange::Delete{.exchange = exchange});
}

// ---- connections ----------------------------------------------------------------------------------------------------

void Driver::subscribe(base::Time now) {
  while (consumers_.size() < plan_.consumers && consumers_.size() - ready_ < opening_max) {
    const auto index = static_cast<uint32_t>(consumers_.size());
    connections_.push_back(connect({Role::consumer, index}, now));
    consumers_.push_back(std::make_unique<Consumer>(*connections_.back(), plan_, index, arrivals_));
  }
}

void Driver::open_producers(base::Time now) {
  while (producers_.size() < plan_.producers && producers_.size() - ready_ < opening_max) {
    const auto index = static_cast<uint32_t>(producers_.size());
    connections_.push_back(connect({Role::producer, index}, now));
    producers_.push_back(std::make_unique<Producer>(*connections_.back(), stack_, plan_, publishes_, index, sequences_,
                                                    confirm_latency_));
  }
}

// Until the broker's queues hold all that was published; asked again and again.
void Driver::rest(base::Time now) {
  if (!do_next_job()) return;
  const uint64_t wanted = plan_.at_rest * plan_.deliveries_per_message();
  if (queue_depth_ != last_count_) {
    last_count_ = queue_depth_;
    last_progress_ = now;
  }
  if (queue_depth_ == wanted) {
    at_end_ = totals(now);
    rest_ = {.messages = plan_.at_rest, .fill = now - at_begin_.at};
    return enter(Phase::subscribing, now);
  }
  if (now - last_progress_ > plan_.setup_patience)
    return fail("of " + std::to_string(wanted) + " messages " + std::to_string(queue_depth_) + " are in the queues");
  queue_depth_ = 0;
  jobs_.push_back({plan_.queues, &Driver::count_queue});
}

// Until everything is here and confirmed, or nothing has come for as long as patience lasts.
void Driver::drain(base::Time now) {
  const Result::Totals now_there = totals(now);
  const uint64_t wanted = now_there.published * plan_.deliveries_per_message();
  const bool confirmed =
      std::all_of(producers_.begin(), producers_.end(), [](const auto& producer) { return producer->all_confirmed(); });
  const uint64_t count = now_there.delivered + now_there.confirmed;
  if (count != last_count_) {
    last_count_ = count;
    last_progress_ = now;
  }
  const bool complete = now_there.delivered >= wanted && confirmed;
  if (!complete && !against_sink_ && now - last_progress_ < plan_.drain_patience) return;
  if (complete && plan_.at_rest != 0 && rest_.drain == base::Duration::zero()) rest_.drain = now - at_end_.at;
  // A copy of what came already would come soon.
  if (complete && now - phase_since_ < linger) return;
  at_last_ = now_there;
  if (against_sink_) return enter(Phase::ended, now);
  if (!plan_.leaves_topology) {
    if (plan_.exchange != ExchangeKind::none) jobs_.push_back({1, &Driver::delete_exchange});
    jobs_.push_back({plan_.queues, &Driver::delete_queue});
  }
  enter(Phase::deleting, now);
}

void Driver::close_all() {
  for (const Steward& steward : stewards_) steward.connection->close();
  for (const auto& connection : connections_) connection->close();
}

Result::Totals Driver::totals(base::Time now) const {
  Result::Totals totals{.at = now, .published = published_.value(), .delivered = arrivals_.delivered()};
  for (const auto& producer : producers_) totals.confirmed += producer->confirmed() + producer->refused();
  totals.packets_in = host_.counters().frames_received.value();
  totals.packets_out = host_.counters().frames_sent.value();
  return totals;
}

Result Driver::result() const {
  CHECK(over());
  Result result;
  result.failure = failure_;
  result.begin = at_begin_;
  result.end = at_end_;
  result.all = at_last_;
  result.window = at_end_.at - at_begin_.at;
  if (plan_.at_rest != 0) result.rest = rest_;
  const Arrivals::Verdict verdict = arrivals_.judge(sequences_);
  if (!against_sink_) result.lost = verdict.lost;
  result.duplicated = verdict.duplicated;
  result.reordered = verdict.reordered;
  result.strangers = arrivals_.strangers();
  for (const auto& consumer : consumers_) {
    result.reordered += consumer->reordered();
    result.redelivered += consumer->redelivered();
  }
  for (const auto& producer : producers_) {
    result.returned += producer->returned();
    result.refused += producer->refused();
    result.blocked_times += producer->connection().blocked_times();
    if (plan_.confirm_window != 0 && !against_sink_)
      result.unconfirmed += producer->published() - producer->confirmed() - producer->refused();
  }
  result.retransmitted = stack_.counters().retransmitted_segments.value();
  result.latency.add(arrivals_.latency());
  result.confirm_latency.add(confirm_latency_);
  result.turn_lengths.add(turn_lengths_);
  result.send_lag_max = send_lag_max_;
  return result;
}

}  // namespace talaria::load
