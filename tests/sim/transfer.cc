#include "tests/sim/transfer.h"

#include <algorithm>
#include <array>

namespace talaria::sim {

namespace {

// The other end has gone without a word that arrived: keepalive must have noticed by then.
constexpr Duration orphan_patience = 400s;
constexpr Duration reconnect_pause = 500ms;
constexpr size_t turn_bytes_max = 64 * 1024;

const std::array<uint8_t, 65536>& noise() {
  static const auto table = [] {
    std::array<uint8_t, 65536> made;
    Random random(0, "pattern");
    for (uint8_t& byte : made) byte = static_cast<uint8_t>(random.u64());
    return made;
  }();
  return table;
}

}  // namespace

uint8_t pattern(uint64_t number, bool from_client, uint64_t offset) {
  if (from_client && offset < 8) return static_cast<uint8_t>(number >> (8 * (7 - offset)));
  const uint64_t at = offset + number * 7919 + (from_client ? 0 : 40503);
  return static_cast<uint8_t>(noise()[at & 0xffff] ^ (at >> 16) * 31);
}

// ---- one end --------------------------------------------------------------------------------------------------------

bool TransferEnd::poll(ByteStream& stream, Time now) {
  bool& done = is_client_ ? exchange_->client_done : exchange_->server_done;
  if (done) return false;
  if (paused_until_ != base::never) {
    if (now < paused_until_) return false;
    paused_until_ = base::never;
  }
  const ByteStream::State state = stream.state();
  bool progress = receive(stream);
  if (done) return true;
  if (state == ByteStream::State::closed) {
    finish(stream);
    return true;
  }
  progress |= write(stream);
  if (exchange_->aborted()) {
    if (orphan_since_ == base::never) orphan_since_ = now;
    if (now - orphan_since_ >= orphan_patience) {
      if (plan().keepalive && !closing_ && state != ByteStream::State::opening)
        fail("exchange %lu: the %s's keepalive did not notice that the other side is gone", exchange_->number,
             is_client_ ? "client" : "server");
      stream.abort();
      done = true;
      return true;
    }
  }
  if (random_.chance(plan().pause_chance)) paused_until_ = now + random_.between(1us, plan().pause_max);
  return progress;
}

Time TransferEnd::next_deadline() const {
  if (is_client_ ? exchange_->client_done : exchange_->server_done) return base::never;
  return orphan_since_ == base::never ? paused_until_ : std::min(paused_until_, orphan_since_ + orphan_patience);
}

bool TransferEnd::receive(ByteStream& stream) {
  bool progress = false;
  for (size_t taken = 0; taken < turn_bytes_max;) {
    const base::Bytes input = stream.input();
    if (input.empty()) break;
    const size_t count = std::min<size_t>(input.size(), random_.between(1, plan().read_max));
    for (size_t i = 0; i < count; i++)
      if (input[i] != pattern(exchange_->number, !is_client_, received_ + i))
        fail("exchange %lu: the %s got a wrong byte at %lu", exchange_->number, is_client_ ? "client" : "server",
             received_ + i);
    stream.consume(count);
    received_ += count;
    taken += count;
    progress = true;
    if (received_ > other().bytes) fail("exchange %lu: more bytes than were sent", exchange_->number);
    if (plan().abort_at && received_ >= *plan().abort_at) {
      stream.abort();
      (is_client_ ? exchange_->client_aborted : exchange_->server_aborted) = true;
      (is_client_ ? exchange_->client_done : exchange_->server_done) = true;
      return true;
    }
  }
  return progress;
}

bool TransferEnd::write(ByteStream& stream) {
  if (stream.state() == ByteStream::State::opening) return false;
  bool progress = false;
  for (size_t given = 0; sent_ < plan().bytes && given < turn_bytes_max;) {
    if (piece_.empty()) {
      piece_.resize(std::min(plan().bytes - sent_, random_.between(1, plan().write_max)));
      for (size_t i = 0; i < piece_.size(); i++) piece_[i] = pattern(exchange_->number, is_client_, sent_ + i);
    }
    const size_t count = stream.send(piece_);
    piece_.erase(piece_.begin(), piece_.begin() + static_cast<ptrdiff_t>(count));
    sent_ += count;
    given += count;
    progress |= count > 0;
    if (!piece_.empty()) break;
  }
  const bool may_close = plan().close_early || stream.state() == ByteStream::State::finished;
  // Closing with bytes unread is a reset (RFC 9293 3.6.1): not what is meant here.
  if (!closing_ && sent_ == plan().bytes && may_close && stream.input().empty()) {
    closing_ = true;
    stream.close();
    progress = true;
  }
  return progress;
}

void TransferEnd::finish(ByteStream& stream) {
  bool& done = is_client_ ? exchange_->client_done : exchange_->server_done;
  if (!stream.input().empty()) return;  // a slow reader: the rest next time
  done = true;
  if (exchange_->aborted()) return;
  const char* who = is_client_ ? "client" : "server";
  const std::string failure(stream.failure());
  const bool complete = received_ == other().bytes && sent_ == plan().bytes && closing_;
  if (!failure.empty() && !(complete && exchange_->may_be_forgotten))
    fail("exchange %lu: the %s's connection failed: %s (%lu of %lu received, %lu of %lu sent)", exchange_->number, who,
         failure.c_str(), received_, other().bytes, sent_, plan().bytes);
  if (received_ != other().bytes)
    fail("exchange %lu: the %s's connection ended after %lu of %lu bytes", exchange_->number, who, received_,
         other().bytes);
  if (sent_ != plan().bytes) fail("exchange %lu: ended before the %s had sent everything", exchange_->number, who);
}

// ---- the two applications -------------------------------------------------------------------------------------------

bool TransferClient::poll(Time now) {
  if (exchange_.client_done || now < start_) return false;
  if (!stream_) {
    stream_ = connect_();
    if (!stream_) {
      start_ = now + reconnect_pause;
      return false;
    }
    end_.emplace(random_, exchange_, true);
    return true;
  }
  if (stream_->state() == ByteStream::State::closed && !stream_->failure().empty() && exchange_.may_be_refused &&
      end_->received() == 0) {
    exchange_.client_aborted = exchange_.client_done = true;
    if (!exchange_.accepted) exchange_.server_done = true;
    return true;
  }
  // Until the server knows of it, a connection may fail: its SYNs may all have been lost.
  if (stream_->state() == ByteStream::State::closed && !stream_->failure().empty() && !exchange_.accepted) {
    world_.trace("exchange %lu: connecting again: %s", exchange_.number, std::string(stream_->failure()).c_str());
    stream_ = nullptr;
    start_ = now + reconnect_pause;
    return true;
  }
  return end_->poll(*stream_, now);
}

Time TransferClient::next_deadline() const {
  if (exchange_.client_done) return base::never;
  if (!stream_) return start_;
  Time next = end_->next_deadline();
  return next;
}

bool TransferServer::poll(Time now) {
  if (over_) return false;
  if (end_) return end_->poll(stream_, now);
  bool progress = false;
  while (greeted_ < sizeof greeting_) {
    const base::Bytes input = stream_.input();
    if (input.empty()) break;
    greeting_[greeted_++] = input[0];
    stream_.consume(1);
    progress = true;
  }
  if (greeted_ == sizeof greeting_) {
    const uint64_t number = base::load_be64(greeting_);
    Exchange* exchange = find_(number);
    if (!exchange) fail("a connection began with number %lu, which nobody sent", number);
    if (exchange->accepted) fail("exchange %lu was accepted twice", number);
    exchange->accepted = true;
    end_.emplace(random_, *exchange, false);
    end_->start_behind(sizeof greeting_);
    return end_->poll(stream_, now) || true;
  }
  if (stream_.state() == ByteStream::State::closed) over_ = true;  // its client tries again
  return progress;
}

}  // namespace talaria::sim
