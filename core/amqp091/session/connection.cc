#include "core/amqp091/session/connection.h"

#include <algorithm>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/deliver.h"
#include "core/amqp091/session/dispatch.h"
#include "core/amqp091/session/handshake.h"
#include "core/amqp091/session/publish.h"
#include "core/amqp091/session/stall.h"
#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::session {

// ---- input ----------------------------------------------------------------------------------------------------------

namespace {

// The stream cannot be followed any further.
void on_malformed(Connection& connection, wire::FrameFault fault) {
  if (connection.before_open()) return fall_silent(connection, connection.shared->counters.refused_frame);
  if (connection.stage == Stage::open) fail(connection, wire::error_of(fault));
  lose_stream(connection);
}

// What does not is taken while the output is full: a client that consumes and publishes by turns, and writes before it
// reads on, must not wait for itself. (Confirms can wait; for returns see hand_over.)
bool wants_answer(const wire::Frame& frame) {
  if (frame.type != wire::FrameType::method || frame.payload.size() < 4) return false;
  switch (wire::load_method_id(frame.payload)) {
    case wire::basic::Publish::id:
    case wire::basic::Ack::id:
    case wire::basic::Nack::id:
    case wire::basic::Reject::id: return false;
    default: return true;
  }
}

bool is_of_publish(const wire::Frame& frame) {
  return frame.type != wire::FrameType::method ||
         (frame.payload.size() >= 4 && wire::load_method_id(frame.payload) == wire::basic::Publish::id);
}

Step take_frame(Connection& connection, const wire::Frame& frame) {
  if (connection.output.full() && connection.stage == Stage::open && wants_answer(frame)) [[unlikely]] {
    connection.answer_waits = true;
    return Step::wait;
  }
  // What comes behind messages is done behind them. (For messages see hand_over.)
  if (has_entrusted(connection.entrusted) && connection.stage == Stage::open && !is_of_publish(frame)) [[unlikely]]
    return wait_for_room(connection, wait_for_entrusted(*connection.entrusted));
  const Step step = on_frame(connection, frame);
  if (step == Step::taken) connection.shared->counters.frames_in.add();
  return step;
}

// Octets of the body frame that is being streamed, and the one that ends it.
size_t stream_body(Connection& connection, Bytes in) {
  Input& input = connection.input;
  if (input.body_left != 0) {
    Bytes octets = in.first(std::min<size_t>(in.size(), input.body_left));
    if (input.body_incarnation != 0)
      if (Channel* channel = connection.channel(input.body_channel);
          channel != nullptr && channel->incarnation == input.body_incarnation)
        on_body(*channel, octets);
    input.body_left -= static_cast<uint32_t>(octets.size());
    input.body_end_due = input.body_left == 0;
    return octets.size();
  }
  input.body_end_due = false;
  input.body_incarnation = 0;
  if (in[0] != wire::frame_end) on_malformed(connection, wire::FrameFault::bad_end);
  return 1;
}

// The octets of a frame that straddles packets, until it is whole; a body is streamed as soon as its header is there.
// Returns how many octets of `in` were taken; `step` says whether the frame has to come again.
size_t gather(Connection& connection, Bytes in, Step& step) {
  std::vector<uint8_t>& gathered = connection.input.gathered;
  size_t taken = 0;
  auto take_until = [&](size_t size) {
    size_t more = std::min(size - gathered.size(), in.size() - taken);
    gathered.insert(gathered.end(), in.begin() + static_cast<std::ptrdiff_t>(taken),
                    in.begin() + static_cast<std::ptrdiff_t>(taken + more));
    taken += more;
    return gathered.size() == size;
  };
  if (gathered.size() < wire::frame_header_size && !take_until(wire::frame_header_size)) return taken;
  wire::FrameHeader header = wire::parse_frame_header(gathered, connection.frame_max);
  if (header.status == wire::FrameStatus::malformed) {
    gathered.clear();
    on_malformed(connection, header.fault);
    return taken;
  }
  if (header.type == wire::FrameType::body && gathered.size() == wire::frame_header_size) {
    gathered.clear();
    begin_body_frame(connection, header.channel, header.payload_size);
    return taken;
  }
  size_t size = wire::frame_overhead + header.payload_size;
  if (gathered.size() < size && !take_until(size)) return taken;
  wire::Frame frame = wire::parse_frame(gathered, connection.frame_max);
  if (frame.status == wire::FrameStatus::malformed) {
    gathered.clear();
    on_malformed(connection, frame.fault);
    return taken;
  }
  step = take_frame(connection, frame);
  if (step == Step::wait) return taken;
  if (gathered.capacity() > 4096)
    gathered = {};
  else
    gathered.clear();
  return taken;
}

// Handles what is whole in `in`, keeps what is not. Returns how many octets are done with.
size_t handle_input(Connection& connection, Bytes in, size_t& frames_left) {
  Input& input = connection.input;
  Step step = Step::taken;
  size_t at = 0;
  // A gathered frame that had to wait comes first, even with nothing behind it: see read_input.
  while (at < in.size() && connection.reads()) {
    if (connection.stage == Stage::refused || input.unreadable) return in.size();
    if (frames_left == 0) break;
    Bytes rest = in.subspan(at);
    if (connection.stage == Stage::greeting) {
      at += on_greeting(connection, rest);
      continue;
    }
    if (input.body_left != 0 || input.body_end_due) {
      at += stream_body(connection, rest);
      continue;
    }
    if (!input.gathered.empty()) {
      at += gather(connection, rest, step);
      if (step == Step::wait) break;
      continue;
    }
    if (connection.stage == Stage::open) [[likely]] {
      if (const size_t octets = publish_at_once(connection, rest)) {
        at += octets;
        frames_left -= std::min<size_t>(frames_left, 3);
        continue;
      }
    }
    wire::Frame frame = wire::parse_frame(rest, connection.frame_max);
    if (frame.status == wire::FrameStatus::whole) [[likely]] {
      if (take_frame(connection, frame) == Step::wait) break;
      at += frame.size;
      frames_left--;
      continue;
    }
    if (frame.status == wire::FrameStatus::malformed) {
      on_malformed(connection, frame.fault);
      return in.size();
    }
    if (frame.type == wire::FrameType::body && rest.size() >= wire::frame_header_size) {
      begin_body_frame(connection, frame.channel, base::load_be32(rest.data() + 3));
      at += wire::frame_header_size;
      frames_left--;
      continue;
    }
    input.gathered.assign(rest.begin(), rest.end());
    at = in.size();
  }
  return at;
}

// A gathered frame that waited and is whole: it needs no new octets to come again.
bool retry_gathered(Connection& connection) {
  if (connection.input.gathered.empty() || connection.stage == Stage::greeting) return true;
  Step step = Step::taken;
  gather(connection, {}, step);
  return step == Step::taken;
}

}  // namespace

void read_input(Connection& connection) {
  Shared& shared = *connection.shared;
  size_t octets_left = shared.config.input_bytes_per_turn;
  size_t frames_left = shared.config.frames_per_turn;
  shared.latency.begin_run(shared.now);
  bool waits = connection.tcp && connection.reads() && !retry_gathered(connection);
  while (!waits && connection.tcp && connection.reads()) {
    Bytes in = shared.stack.input(connection.tcp);
    if (in.empty()) break;
    size_t used = handle_input(connection, in, frames_left);
    connection.got_input |= used != 0;
    shared.stack.consume(connection.tcp, used);
    connection.info->bytes_in.add(used);
    if (connection.before_open()) {
      connection.bytes_before_open += used;
      if (connection.bytes_before_open > shared.config.bytes_before_open)
        fall_silent(connection, shared.counters.refused_budget);
    }
    waits = used < in.size();
    if (used >= octets_left) break;
    octets_left -= used;
  }
  if (!connection.tcp) return;
  if (shared.stack.unread(connection.tcp) != 0) {
    if (connection.reads()) go_on(connection);
  } else if (connection.peer_finished && connection.pending.what == Awaited::nothing && !connection.stalled &&
             !connection.owes_close_ok) {
    on_transport_gone(connection);
  }
  pause_if_full(connection);
  hang_up_if_due(connection);
}

void go_on(Connection& connection) { connection.shared->more_input.add(connection, connection.more_input_listed); }

void hang_up_if_due(Connection& connection) {
  if (!connection.tcp || (!connection.hang_up && !connection.cut)) return;
  Shared& shared = *connection.shared;
  if (connection.cut) {
    shared.stack.abort(connection.tcp);
  } else {
    if (!connection.output.flowing()) return;
    // What is unread would turn the FIN into a reset, and the peer might never see our last frames.
    for (Bytes in = shared.stack.input(connection.tcp); !in.empty(); in = shared.stack.input(connection.tcp))
      shared.stack.consume(connection.tcp, in.size());
    shared.stack.close(connection.tcp);
  }
  on_transport_gone(connection);
}

// ---- asking the control plane ---------------------------------------------------------------------------------------

void post(Connection& connection, Asked asked) {
  connection.asked.push_back(std::move(asked));
  send_next(connection);
}

void send_next(Connection& connection) {
  if (connection.asked_token != 0 || connection.asked.empty()) return;
  Shared& shared = *connection.shared;
  Asked& next = connection.asked.front();
  connection.asked_token = next.request->token = ++shared.last_token;
  shared.requests.push_back(next.request.release());
}

// ---- who ------------------------------------------------------------------------------------------------------------

Connection* find_connection(Shared& shared, broker::SessionId id) {
  if (id.slot >= shared.config.sessions) return nullptr;
  Connection& connection = shared.connections[id.slot];
  return connection.id == id && connection.stage != Stage::vacant ? &connection : nullptr;
}

Channel* find_channel(Shared& shared, const broker::ChannelAddress& address) {
  Connection* connection = find_connection(shared, address.session);
  Channel* channel = connection ? connection->channel(address.channel, address.incarnation) : nullptr;
  if (channel == nullptr) shared.counters.events_stale.add();
  return channel;
}

Channel* Connection::channel(uint16_t number, uint32_t incarnation) const {
  Channel* found = channel(number);
  if (found != nullptr && found->incarnation == incarnation) [[likely]]
    return found;
  for (const auto& channel_ : ending)
    if (channel_->incarnation == incarnation) return channel_.get();
  return nullptr;
}

broker::SessionAddress Connection::address() const { return {id, shared->self}; }

broker::Vhost* Connection::vhost_record() const { return shared->engine.find_vhost(vhost); }

}  // namespace talaria::amqp091::session
