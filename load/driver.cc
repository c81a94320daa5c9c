// The turn: what comes in, who publishes, who acknowledges.
#include "load/driver.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::load {

namespace wire = amqp091::wire;

namespace {

// Of all producers together: a turn stays short, and what came in is looked at soon.
constexpr uint64_t publishes_per_turn = 512;
// Of one flat-out producer at a time, even when there are many: who has much to say fills a packet.
constexpr uint64_t publishes_in_a_row = 16;
// Producers that are given what fell due in one turn.
constexpr uint64_t scheduled_per_turn = 8192;

}  // namespace

tcp::Config tcp_config_for(const Plan& plan) {
  tcp::Config config;
  const size_t connections = plan.connections();
  // As a client's kernel would: it takes more than a broker keeps for one.
  config.receive_window = 1024 * 1024;
  config.connections = std::max(config.connections, connections + 16);
  config.send_chunks = std::max(config.send_chunks, connections + 4096);
  config.receive_chunks = std::max(config.receive_chunks, connections + 4096);
  return config;
}

Driver::Driver(const DriverConfig& config, const Plan& plan, net::Device& device, base::Time now)
    : plan_(plan),
      broker_(config.broker),
      against_sink_(config.against_sink),
      publishes_any_(config.publishes),
      host_(config.host, device, config.key),
      stack_(config.tcp, host_, config.key, config.memory),
      routes_(routes_of(plan_)),
      publishes_(plan_, routes_),
      sequences_(plan_.streams(), 0),
      arrivals_(plan_),
      places_(config.tcp.connections),
      is_active_(plan_.producers, 0),
      is_ready_(std::max(plan_.producers, plan_.consumers), 0),
      due_(plan_.producers, 0),
      last_turn_(now),
      phase_since_(now),
      last_progress_(now) {
  CHECK(!find_contradiction(plan_));
  connections_.reserve(size_t{plan_.producers} + plan_.consumers);
  active_.reserve(plan_.producers);
  touched_.reserve(plan_.consumers);
  stewards_.resize(plan_.stewards());
  for (uint32_t index = 0; index < stewards_.size(); index++)
    stewards_[index].connection = connect({Role::steward, index}, now);
}

bool Driver::turn(base::Time now) {
  if (measuring()) turn_lengths_.record(static_cast<uint64_t>((now - last_turn_).count()));
  last_turn_ = now;

  stack_.on_segments(host_.datagrams(), now);
  host_.on_time(now);
  stack_.on_time(now);
  take_events(now);
  step(now);
  if (publishes_any_ && (phase() == Phase::warming || phase() == Phase::measuring || phase() == Phase::filling))
    publish(now);
  for (const uint32_t index : touched_) consumers_[index]->acknowledge();
  touched_.clear();
  delivered_.set(arrivals_.delivered());

  const bool had_output = stack_.has_output();
  stack_.end_input(now);
  stack_.output(now);
  host_.flush();
  return received_ != 0 || had_output;
}

// ---- in -------------------------------------------------------------------------------------------------------------

Connection& Driver::connection_at(const Place& place) {
  switch (place.role) {
    case Role::steward: return *stewards_[place.index].connection;
    case Role::producer: return producers_[place.index]->connection();
    case Role::consumer: return consumers_[place.index]->connection();
  }
  CHECK(false);  // no such role
  return *stewards_.front().connection;
}

void Driver::take_events(base::Time now) {
  for (const tcp::Event& event : stack_.events()) {
    const Place place = places_[event.id.slot];
    Connection& connection = connection_at(place);
    if (connection.id() != event.id) continue;
    if (event.connected) connection.on_connected();
    if (event.readable) read(place, now);
    if (event.writable) {
      connection.flush();
      if (place.role == Role::producer) activate(place.index);
    }
    if (event.peer_finished) stack_.close(event.id);
    if (event.closed) {
      connection.on_closed(event.reason);
      gone_++;
    }
    if (!connection.failure().empty()) fail(connection.failure());
  }
  stack_.clear_events();
}

void Driver::read(const Place& place, base::Time now) {
  switch (place.role) {
    case Role::steward: {
      // Answers to declares and deletes: all that matters is that they come, and how long a queue is.
      struct Answers {
        Driver& driver;
        Steward& steward;
        void on_method(base::Bytes payload) const {
          if (wire::load_method_id(payload) == wire::queue::DeclareOk::id)
            if (const auto answer = wire::parse<wire::queue::DeclareOk>(payload))
              driver.queue_depth_ += answer->message_count;
          driver.answered_++;
          if (steward.answers != 0) steward.answers--;
        }
        void on_header(uint64_t) const {}
        void on_body(base::Bytes) const {}
        void on_body_end(uint32_t) const {}
      } answers{*this, stewards_[place.index]};
      return stewards_[place.index].connection->read(answers);
    }
    case Role::producer: {
      Producer& producer = *producers_[place.index];
      producer.read(now, window_);
      const bool ready = producer.connection().is_open() && (plan_.confirm_window == 0 || producer.confirm_selected());
      if (ready && !is_ready_[place.index]) {
        is_ready_[place.index] = 1;
        ready_++;
      } else if (!ready && producer.connection().is_open() && plan_.confirm_window != 0) {
        producer.select_confirms();
      }
      return activate(place.index);
    }
    case Role::consumer: {
      Consumer& consumer = *consumers_[place.index];
      const bool was_open = consumer.connection().is_open();
      const bool was_subscribed = consumer.subscribed();
      consumer.read(now, window_);
      if (!was_open && consumer.connection().is_open()) consumer.subscribe();
      if (!was_subscribed) {
        answered_++;
        if (consumer.subscribed()) ready_++;
      }
      if (consumer.cancelled()) fail("the broker cancelled a consumer");
      touched_.push_back(place.index);
      return;
    }
  }
}

void Driver::fail(std::string reason) {
  if (over() || phase() == Phase::closing) return;
  failure_ = std::move(reason);
  phase_.store(Phase::failed, std::memory_order_release);
}

// ---- out ------------------------------------------------------------------------------------------------------------

void Driver::activate(uint32_t producer) {
  if (is_active_[producer] || (plan_.paced() && due_[producer] == 0)) return;
  is_active_[producer] = 1;
  active_.push_back(producer);
}

// Messages that may be published before the bound on what is under way is reached.
uint64_t Driver::allowed_in_flight() const {
  if (plan_.at_rest != 0) return plan_.at_rest - std::min(plan_.at_rest, published_.value());
  if (plan_.in_flight == 0) return UINT64_MAX;
  const uint64_t arrived = arrivals_.delivered() / plan_.deliveries_per_message();
  const uint64_t under_way = published_.value() - std::min(arrived, published_.value());
  return plan_.in_flight - std::min(under_way, plan_.in_flight);
}

void Driver::publish(base::Time now) {
  if (plan_.paced()) {
    const uint64_t due = std::min(schedule_.count(now), scheduled_ + scheduled_per_turn);
    if (plan_.producers == 1) {
      due_[0] += due - scheduled_;
      if (due != scheduled_) activate(0);
      scheduled_ = due;
    }
    for (; scheduled_ < due; scheduled_++) {
      const auto producer = static_cast<uint32_t>(scheduled_ % plan_.producers);
      due_[producer]++;
      activate(producer);
    }
  }

  uint64_t left = std::min(publishes_per_turn, allowed_in_flight());
  size_t kept = 0, at = 0;
  for (; at < active_.size() && left != 0; at++) {
    const uint32_t index = active_[at];
    Producer& producer = *producers_[index];
    // A fair share of the turn each; who is left over is first next turn.
    const uint64_t fair = left / (active_.size() - at);
    const uint64_t share =
        std::clamp<uint64_t>(fair, std::min<uint64_t>(left, plan_.paced() ? 1 : publishes_in_a_row), left);
    uint64_t written = 0;
    if (plan_.paced()) {
      const uint64_t wanted = std::min(share, due_[index]);
      if (wanted != 0) {
        const base::Duration lag = now - schedule_.due(producer.published() * plan_.producers + index);
        if (window_.contains(now)) send_lag_max_ = std::max(send_lag_max_, lag);
      }
      written = producer.publish(schedule_, wanted);
      due_[index] -= written;
    } else {
      written = producer.publish(now, share);
    }
    left -= written;
    published_.add(written);
    const bool nothing_due = plan_.paced() && due_[index] == 0;
    if (nothing_due || producer.stuck())
      is_active_[index] = 0;
    else
      active_[kept++] = index;
  }
  // Those that had no turn come first.
  const size_t rest = active_.size() - at;
  const auto kept_end = active_.begin() + static_cast<std::ptrdiff_t>(kept);
  std::copy(active_.begin() + static_cast<std::ptrdiff_t>(at), active_.end(), kept_end);
  active_.resize(kept + rest);
  if (rest != 0) std::rotate(active_.begin(), kept_end, active_.end());
}

}  // namespace talaria::load
