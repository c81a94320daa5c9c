#include "tests/sim/amqp_connection.h"

#include <algorithm>

namespace talaria::sim {

namespace {

constexpr uint8_t method_frame = 1, header_frame = 2, body_frame = 3, heartbeat_frame = 8;
constexpr size_t output_ahead = 64 * 1024;
constexpr size_t read_per_turn = 256 * 1024;

}  // namespace

AmqpConnection::AmqpConnection(World& world, Random random, ByteStream& stream, const Dialect& dialect,
                               AmqpListener& listener, const Options& options)
    : world_(world), random_(random), stream_(stream), dialect_(dialect), listener_(listener), options_(options) {}

bool AmqpConnection::poll(Time now) {
  if (phase_ == Phase::over) return false;
  bool progress = false;
  if (phase_ == Phase::greeting) {
    if (stream_.state() == ByteStream::State::opening) return false;
    if (stream_.state() != ByteStream::State::closed) {
      for (const char octet : {'A', 'M', 'Q', 'P', '\0', '\0', '\x09', '\x01'})
        output_.push_back(static_cast<uint8_t>(octet));
      backlog_ += 8;
      phase_ = Phase::start;
      progress = true;
    }
  }
  if (deaf_until_ <= now) progress |= read();
  if (phase_ == Phase::over) return true;
  if (heartbeat_at_ <= now) {
    Buffer beat;
    dialect_.write_heartbeat(beat);
    queue(0, std::move(beat));
    heartbeat_at_ = now + Duration(options_.heartbeat * 400'000'000ll);
  }
  if (close_wanted_ && !close_sent_ && phase_ == Phase::open) {
    close_sent_ = true;
    phase_ = Phase::closing;
    Buffer frame;
    dialect_.write(frame, 0, CloseConnection{});
    queue(0, std::move(frame));
  }
  progress |= write();
  const auto state = stream_.state();
  // What is unread may hold the broker's reasons, and is read first.
  const bool unread = deaf_until_ > now || !stream_.input().empty();
  if (state == ByteStream::State::closed && !unread) {
    end(stream_.failure().empty() ? "the broker closed the stream" : std::string(stream_.failure()));
    return true;
  }
  if (state == ByteStream::State::finished && !unread && !close_answered_) {
    stream_.close();
    end("the broker finished the stream");
    return true;
  }
  return progress;
}

Time AmqpConnection::next_deadline() const {
  if (phase_ == Phase::over) return base::never;
  return std::min(heartbeat_at_, deaf_until_ > world_.now() ? deaf_until_ : base::never);
}

void AmqpConnection::send(uint16_t channel, const Command& command) {
  Buffer frame;
  dialect_.write(frame, channel, command);
  queue(channel, std::move(frame));
}

Buffer AmqpConnection::publish(uint16_t channel, const Publish& publish, const MessageProperties& properties,
                               base::Bytes body) {
  send(channel, publish);
  Buffer header;
  const Buffer raw = dialect_.write_header(header, channel, body.size(), properties);
  queue(channel, std::move(header));
  const size_t part_max = frame_max_ - 8;
  while (!body.empty()) {
    const size_t wish = random_.chance(0.8) ? part_max : random_.between(1, part_max);
    const size_t size = std::min(wish, body.size());
    Buffer frame;
    dialect_.write_body(frame, channel, body.first(size));
    queue(channel, std::move(frame));
    body = body.subspan(size);
  }
  return raw;
}

void AmqpConnection::offend(Buffer octets) {
  phase_ = Phase::offended;
  queue(0, std::move(octets));
}

void AmqpConnection::update_secret() {
  secrets_unanswered_++;
  send(0, UpdateSecret{options_.password, "another day"});
}

ByteStream& AmqpConnection::leave() {
  phase_ = Phase::over;
  stream_.close();
  return stream_;
}

void AmqpConnection::abort() {
  if (phase_ == Phase::over) return;
  phase_ = Phase::over;
  stream_.abort();
}

void AmqpConnection::queue(uint16_t channel, Buffer frame) {
  if (phase_ == Phase::over) return;
  backlog_ += frame.size();
  frames_[channel].push_back(std::move(frame));
}

// ---- out ------------------------------------------------------------------------------------------------------------

bool AmqpConnection::write() {
  bool progress = false;
  while (phase_ != Phase::over) {
    // Channel 0 says hello and goodbye: all else first, or there is nothing else yet.
    while (output_.size() < output_ahead && !frames_.empty()) {
      auto chosen = frames_.begin();
      if (frames_.size() > 1) std::advance(chosen, 1 + static_cast<ptrdiff_t>(random_.below(frames_.size() - 1)));
      if (chosen->first == 0 && frames_.size() > 1) chosen++;
      const Buffer& frame = chosen->second.front();
      output_.insert(output_.end(), frame.begin(), frame.end());
      chosen->second.pop_front();
      if (chosen->second.empty()) frames_.erase(chosen);
    }
    if (output_.empty()) break;
    const size_t taken = stream_.send(output_);
    if (taken == 0) break;
    output_.erase(output_.begin(), output_.begin() + static_cast<ptrdiff_t>(taken));
    backlog_ -= taken;
    progress = true;
  }
  return progress;
}

// ---- in -------------------------------------------------------------------------------------------------------------

bool AmqpConnection::read() {
  size_t taken = 0;
  while (taken < read_per_turn) {
    const base::Bytes more = stream_.input();
    if (more.empty()) break;
    taken += more.size();
    input_.insert(input_.end(), more.begin(), more.end());
    stream_.consume(more.size());
  }
  size_t done = 0;
  while (phase_ != Phase::over) {
    const auto frame = dialect_.read_frame(base::Bytes(input_).subspan(done), frame_max_);
    if (frame.size == 0) break;
    on_frame(frame);
    done += frame.size;
  }
  input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(done));
  return taken > 0 || done > 0;
}

void AmqpConnection::on_frame(const Dialect::FrameView& frame) {
  switch (frame.type) {
    case method_frame: {
      const Reply reply = dialect_.read_method(frame.payload);
      const bool connection_class = reply.id >> 16 == 10;
      if (connection_class != (frame.channel == 0)) fail("amqp: method %08x on channel %u", reply.id, frame.channel);
      if (connection_class) return on_connection_method(reply);
      Content& content = contents_[frame.channel];
      if (content.waiting) fail("amqp: method %08x in the middle of a content", reply.id);
      if (!reply.has_content()) return listener_.on_reply(frame.channel, reply, {}, {});
      content = {};
      content.method = reply;
      content.waiting = true;
      return;
    }
    case header_frame: return on_header(frame.channel, frame.payload);
    case body_frame: return on_body(frame.channel, frame.payload);
    case heartbeat_frame:
      if (frame.channel != 0 || !frame.payload.empty()) fail("amqp: a heartbeat on a channel, or with a payload");
      return;
    default: fail("amqp: frame of type %u", frame.type);
  }
}

void AmqpConnection::on_header(uint16_t channel, base::Bytes payload) {
  Content& content = contents_[channel];
  if (!content.waiting || content.has_header) fail("amqp: a content header out of place on channel %u", channel);
  const auto header = dialect_.read_header(payload);
  content.has_header = true;
  content.size = header.body_size;
  content.properties.assign(header.properties.begin(), header.properties.end());
  if (content.size == 0) finish_content(channel);
}

void AmqpConnection::on_body(uint16_t channel, base::Bytes payload) {
  Content& content = contents_[channel];
  if (!content.has_header) fail("amqp: a body out of place on channel %u", channel);
  if (payload.empty()) fail("amqp: an empty body frame on channel %u", channel);
  content.body.insert(content.body.end(), payload.begin(), payload.end());
  if (content.body.size() > content.size) fail("amqp: a body longer than its header said");
  if (content.body.size() == content.size) finish_content(channel);
}

void AmqpConnection::finish_content(uint16_t channel) {
  const Content content = std::move(contents_[channel]);
  contents_[channel] = {};
  listener_.on_reply(channel, content.method, content.properties, content.body);
}

void AmqpConnection::on_connection_method(const Reply& reply) {
  switch (reply.id) {
    case method::connection_start:
      if (phase_ != Phase::start) break;
      if (reply.text.find("PLAIN") == std::string::npos) fail("amqp: no PLAIN among the mechanisms");
      send(0, StartOk{options_.user, options_.password});
      phase_ = Phase::tune;
      return;
    case method::connection_tune:
      if (phase_ != Phase::tune) break;
      frame_max_ = std::min(options_.frame_max, reply.frame_max);
      send(0, TuneOk{reply.channel_max, frame_max_, options_.heartbeat});
      if (options_.heartbeat != 0) heartbeat_at_ = world_.now() + Duration(options_.heartbeat * 400'000'000ll);
      send(0, OpenVhost{options_.vhost});
      phase_ = Phase::open_ok;
      return;
    case method::connection_open_ok:
      if (phase_ != Phase::open_ok) break;
      phase_ = Phase::open;
      listener_.on_open();
      return;
    case method::connection_blocked:
      if (blocked_) fail("amqp: connection.blocked twice");
      blocked_ = true;
      return listener_.on_blocked(reply.text);
    case method::connection_update_secret_ok:
      if (secrets_unanswered_ == 0) break;
      secrets_unanswered_--;
      return;
    case method::connection_unblocked:
      if (!blocked_) fail("amqp: connection.unblocked, and it was not blocked");
      blocked_ = false;
      return;
    case method::connection_close: {
      Buffer frame;
      dialect_.write(frame, 0, ConnectionCloseOk{});
      frames_.clear();
      stream_.send(frame);
      stream_.close();
      return end("connection.close " + std::to_string(reply.code) + " " + reply.text);
    }
    case method::connection_close_ok:
      if (phase_ != Phase::closing) break;
      close_answered_ = true;
      stream_.close();
      return end("");
    default: break;
  }
  fail("amqp: connection method %08x in phase %d", reply.id, static_cast<int>(phase_));
}

void AmqpConnection::end(const std::string& failure) {
  if (phase_ == Phase::over) return;
  phase_ = Phase::over;
  listener_.on_closed(failure);
}

}  // namespace talaria::sim
