#include "load/sink.h"

#include <algorithm>
#include <charconv>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/table.h"
#include "core/base/check.h"
#include "load/connection.h"
#include "load/routes.h"
#include "load/stamp.h"

namespace talaria::load {

namespace wire = amqp091::wire;

namespace {

constexpr size_t deliveries_per_turn = 512;

}  // namespace

Sink::Sink(const Config& config, const Plan& plan, net::Device& device)
    : plan_(plan),
      mode_(config.mode),
      host_(config.host, device, config.key),
      stack_(config.tcp, host_, config.key),
      peers_(config.tcp.connections),
      sequences_(plan_.queues, 0) {
  CHECK(stack_.listen(config.port));
}

bool Sink::turn(base::Time now) {
  stack_.on_segments(host_.datagrams(), now);
  host_.on_time(now);
  stack_.on_time(now);
  for (const tcp::Event& event : stack_.events()) {
    std::unique_ptr<Peer>& peer = peers_[event.id.slot];
    if (event.accepted) {
      peer = std::make_unique<Peer>();
      peer->id = event.id;
    }
    if (event.readable && peer) read(*peer);
    if (event.peer_finished) stack_.close(event.id);
    if (event.closed && peer) {
      std::erase(emitting_, peer.get());
      peer.reset();
    }
  }
  stack_.clear_events();
  // The load counts only once it is ready; what comes to the consumers before that is not wrong.
  for (Peer* peer : emitting_) emit(*peer, now);
  const bool had_output = stack_.has_output();
  stack_.end_input(now);
  stack_.output(now);
  host_.flush();
  return received_ != 0 || had_output;
}

// ---- in -------------------------------------------------------------------------------------------------------------

struct Sink::Incoming {
  Sink& sink;
  Peer& peer;

  void on_method(uint16_t channel, base::Bytes payload) { sink.on_method(peer, channel, payload); }
  void on_header(uint64_t) const {}
  void on_body(base::Bytes) const {}
  void on_body_end(uint32_t) const {}
};

void Sink::read(Peer& peer) {
  Incoming incoming{*this, peer};
  for (base::Bytes in = stack_.input(peer.id); !in.empty(); in = stack_.input(peer.id)) {
    const size_t size = in.size();
    if (peer.greeting_left != 0) {
      const size_t greeting = std::min(peer.greeting_left, in.size());
      peer.greeting_left -= greeting;
      in = in.subspan(greeting);
      if (peer.greeting_left == 0) {
        send(peer, 0,
             wire::connection::Start{.mechanisms = base::as_bytes("PLAIN"), .locales = base::as_bytes("en_US")});
      }
    }
    if (!peer.publishes && !peer.reader.read(in, incoming)) return stack_.abort(peer.id);
    stack_.consume(peer.id, size);
  }
}

void Sink::on_method(Peer& peer, uint16_t channel, base::Bytes payload) {
  switch (wire::load_method_id(payload)) {
    case wire::connection::StartOk::id:
      return send(peer, 0, wire::connection::Tune{.channel_max = 100, .frame_max = frame_max, .heartbeat = 0});
    case wire::connection::Open::id: return send(peer, 0, wire::connection::OpenOk{});
    case wire::connection::Close::id: return send(peer, 0, wire::connection::CloseOk{});
    case wire::channel::Open::id: return send(peer, channel, wire::channel::OpenOk{});
    case wire::confirm::Select::id: return send(peer, channel, wire::confirm::SelectOk{});
    case wire::exchange::Declare::id: return send(peer, channel, wire::exchange::DeclareOk{});
    case wire::exchange::Delete::id: return send(peer, channel, wire::exchange::DeleteOk{});
    case wire::queue::Declare::id: return send(peer, channel, wire::queue::DeclareOk{.queue = "q"});
    case wire::queue::Delete::id: return send(peer, channel, wire::queue::DeleteOk{});
    case wire::queue::Bind::id: return send(peer, channel, wire::queue::BindOk{});
    case wire::basic::Qos::id: return send(peer, channel, wire::basic::QosOk{});
    case wire::basic::Consume::id: {
      const auto consume = wire::parse<wire::basic::Consume>(payload);
      if (!consume) return stack_.abort(peer.id);
      return subscribe(peer, *consume);
    }
    case wire::basic::Publish::id: peer.publishes = true; return;
    default: return;  // tune-ok, acknowledgements
  }
}

template <class Method>
void Sink::send(Peer& peer, uint16_t channel, const Method& method) {
  std::array<uint8_t, 1024> space;
  base::Writer out(space);
  wire::emit_method_frame(out, channel, method);
  CHECK(out.ok());
  if (!stack_.send(peer.id, {space.data(), out.size()})) stack_.abort(peer.id);
}

// ---- out ------------------------------------------------------------------------------------------------------------

void Sink::subscribe(Peer& peer, const wire::basic::Consume& consume) {
  send(peer, the_channel, wire::basic::ConsumeOk{.consumer_tag = consume.consumer_tag});
  if (mode_ != Mode::emit) return;
  // Names of queues end in their number (Plan::queue_name).
  const std::string_view number = consume.queue.substr(consume.queue.rfind('-') + 1);
  std::from_chars(number.data(), number.data() + number.size(), peer.stream);
  peer.stream = std::min(peer.stream, plan_.queues - 1);

  const std::vector<uint8_t> body(plan_.sizes.front().bytes, 'x');
  const std::array<uint8_t, 3> transient = {0x10, 0x00, 1};  // delivery-mode 1
  const wire::DeliverTemplate front(the_channel, consume.consumer_tag);
  const wire::Delivery delivery{.routing_key = consume.queue, .raw_properties = transient};
  peer.delivery.resize(front.size(delivery, body.size(), frame_max));
  CHECK(front.emit(peer.delivery, delivery, body, frame_max) != 0);
  peer.tag_at = wire::frame_header_size + 4 + 1 + consume.consumer_tag.size();
  peer.stamp_at = front.front_size(delivery) + wire::frame_header_size;
  emitting_.push_back(&peer);
}

void Sink::emit(Peer& peer, base::Time now) {
  const size_t bytes = peer.delivery.size();
  const uint32_t stream = plan_.to_all() ? 0 : peer.stream;
  const auto next = [&] {
    base::store_be64(peer.delivery.data() + peer.tag_at, ++peer.tag);
    store_stamp(peer.delivery.data() + peer.stamp_at, {now, stream, sequences_[peer.stream]++});
  };
  size_t left = std::max<size_t>(1, deliveries_per_turn / emitting_.size());
  while (left != 0 && stack_.send_room(peer.id) != 0) {
    if (bytes > tcp::reserve_max) {
      next();
      if (!stack_.send(peer.id, peer.delivery)) {
        peer.tag--;
        sequences_[peer.stream]--;
        return;
      }
      left--;
      continue;
    }
    const base::MutableBytes space = stack_.reserve(peer.id, std::min(left * bytes, tcp::reserve_max));
    if (space.empty()) return;
    size_t used = 0;
    for (; left != 0 && used + bytes <= space.size(); used += bytes, left--) {
      next();
      std::memcpy(space.data() + used, peer.delivery.data(), bytes);
    }
    stack_.commit(peer.id, used);
  }
}

}  // namespace talaria::load
