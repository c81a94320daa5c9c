#include "tests/sim/peer.h"

#include <algorithm>

namespace talaria::sim {

namespace {

constexpr Duration arp_interval = 200ms;
constexpr size_t unresolved_max = 64;

// a < b on the circle (RFC 9293 3.4).
bool before(uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; }

uint32_t milliseconds(Time now) {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
}

}  // namespace

// ---- the stream: what the application sees --------------------------------------------------------------------------

PeerStream::PeerStream(PeerHost& host, Tuple tuple, uint32_t initial_sequence)
    : host_(host),
      tuple_(tuple),
      acknowledged_(initial_sequence),
      next_(initial_sequence),
      sent_max_(initial_sequence) {}

ByteStream::State PeerStream::state() const {
  if (phase_ == Phase::dead || phase_ == Phase::time_wait) return State::closed;
  if (phase_ != Phase::established) return State::opening;
  if (fin_received_ && fin_acknowledged_) return State::closed;
  return fin_received_ ? State::finished : State::open;
}

void PeerStream::consume(size_t count) {
  read_ += count;
  if (read_ == received_.size() || read_ > 64 * 1024) {
    received_.erase(received_.begin(), received_.begin() + static_cast<ptrdiff_t>(read_));
    read_ = 0;
  }
}

size_t PeerStream::send(base::Bytes bytes) {
  if (phase_ == Phase::dead || phase_ == Phase::time_wait || close_wanted_) return 0;
  const size_t limit = host_.config_.send_buffer;
  const size_t count = std::min(bytes.size(), limit - std::min(limit, queue_.size()));
  queue_.insert(queue_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
  return count;
}

void PeerStream::abort() {
  if (phase_ == Phase::dead || phase_ == Phase::time_wait) return;
  if (synchronised()) {
    PeerSegment reset = header(host_.world_.now());
    reset.rst = true;
    reset.sequence = sent_max_;
    host_.send(reset, host_.world_.now());
  }
  die("aborted");
}

// ---- in -------------------------------------------------------------------------------------------------------------

void PeerStream::on_segment(const PeerSegment& segment, Time now) {
  if (phase_ == Phase::syn_sent || phase_ == Phase::syn_received) {
    const bool active = phase_ == Phase::syn_sent;
    on_handshake(segment, now);
    if (active || phase_ != Phase::established) return;
  }
  const uint32_t room_now = std::max(room(), 1u);
  const bool acceptable =
      segment.length() == 0
          ? !before(segment.sequence, expected_) && before(segment.sequence, expected_ + room_now)
          : before(segment.sequence, expected_ + room_now) && before(expected_, segment.sequence + segment.length());
  if (segment.rst) {
    if (phase_ != Phase::established) return;
    if (segment.sequence == expected_) return die("reset by peer");
    if (acceptable) emit_ack(now);  // RFC 5961 3.2: let it prove that it knows
    return;
  }
  if (!acceptable || segment.syn) {
    emit_ack(now);
    if (phase_ == Phase::time_wait) timer_ = now + host_.config_.time_wait;
    if (segment.syn) return;
  }
  if (phase_ == Phase::time_wait || !segment.ack) return;
  if (use_timestamps_ && segment.timestamp && !before(expected_, segment.sequence))
    their_timestamp_ = *segment.timestamp;
  on_acknowledgement(segment, now);
  if (phase_ != Phase::established || !acceptable) return;
  if (segment.length() > 0) {
    on_data(segment);
    emit_ack(now);
  }
  if (fin_received_ && fin_acknowledged_) {
    phase_ = Phase::time_wait;
    timer_ = now + host_.config_.time_wait;
  }
}

void PeerStream::on_handshake(const PeerSegment& segment, Time now) {
  if (segment.ack && segment.acknowledgement != sent_max_) return;  // not of this connection; its sender times out
  if (segment.rst) {
    if (segment.ack || phase_ == Phase::syn_received) die("refused");
    return;
  }
  if (phase_ == Phase::syn_sent) {
    if (!segment.syn || !segment.ack) return;  // no simultaneous open here
    take_options(segment);
    expected_ = segment.sequence + 1;
  } else {
    if (segment.syn) {
      emit_syn(now);
      return;
    }
    if (!segment.ack) return;
  }
  acknowledged_ = next_ = sent_max_;
  window_ = phase_ == Phase::syn_sent ? segment.window : uint32_t{segment.window} << window_shift_;
  const bool active = phase_ == Phase::syn_sent;
  phase_ = Phase::established;
  timer_ = base::never;
  timeouts_ = 0;
  if (active) emit_ack(now);
}

void PeerStream::take_options(const PeerSegment& segment) {
  const PeerConfig& config = host_.config_;
  mss_ = std::min<uint16_t>(config.mss, segment.mss.value_or(536));
  use_scale_ = config.window_scale && segment.window_scale;
  if (use_scale_) window_shift_ = std::min<uint8_t>(*segment.window_scale, 14);
  use_timestamps_ = config.timestamps && segment.timestamp;
  if (segment.timestamp) their_timestamp_ = *segment.timestamp;
  if (use_timestamps_) mss_ = static_cast<uint16_t>(mss_ - 12);
}

void PeerStream::on_acknowledgement(const PeerSegment& segment, Time now) {
  const uint32_t ack = segment.acknowledgement;
  if (before(sent_max_, ack) || before(ack, acknowledged_)) return;
  window_ = uint32_t{segment.window} << window_shift_;
  if (window_ > 0) timeouts_ = ack == acknowledged_ ? timeouts_ : 0;
  if (ack == acknowledged_) return;
  const uint32_t newly = ack - acknowledged_;
  const size_t bytes = std::min<size_t>(newly, queue_.size());
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(bytes));
  acknowledged_ = ack;
  if (before(next_, ack)) next_ = ack;
  if (fin_sent_ && ack == fin_sequence_ + 1) fin_acknowledged_ = true;
  timeouts_ = 0;
  timer_ = everything_acknowledged() ? base::never : now + host_.config_.timeout;
}

// True if something of it was new.
bool PeerStream::on_data(const PeerSegment& segment) {
  if (fin_received_ || before(expected_, segment.sequence)) return false;  // nothing follows a FIN; a gap is not kept
  const uint32_t known = expected_ - segment.sequence;
  if (known > segment.payload.size()) return false;
  const size_t count = std::min<size_t>(segment.payload.size() - known, room());
  received_.insert(received_.end(), segment.payload.begin() + known,
                   segment.payload.begin() + known + static_cast<ptrdiff_t>(count));
  expected_ += static_cast<uint32_t>(count);
  if (segment.fin && known + count == segment.payload.size()) {
    expected_++;
    fin_received_ = true;
  }
  return true;
}

uint32_t PeerStream::room() const {
  const size_t unread = received_.size() - read_;
  const uint32_t buffer = host_.config_.receive_buffer;
  return buffer - static_cast<uint32_t>(std::min<size_t>(unread, buffer));
}

void PeerStream::die(std::string_view why) {
  phase_ = Phase::dead;
  failure_ = why;
  timer_ = base::never;
}

// ---- out ------------------------------------------------------------------------------------------------------------

void PeerStream::open_actively(Time now) {
  next_ = sent_max_ = acknowledged_ + 1;
  emit_syn(now);
}

void PeerStream::on_time(Time now) {
  if (timer_ > now) return;
  if (phase_ == Phase::time_wait) {
    phase_ = Phase::dead;
    timer_ = base::never;
    return;
  }
  if (++timeouts_ > host_.config_.timeouts_max) return die("timed out");
  if (phase_ != Phase::established) return emit_syn(now);
  next_ = acknowledged_;  // go back N
  if (window_ == 0 && !queue_.empty()) {
    emit(next_, 1, false, now);  // a probe
    next_++;
  }
  timer_ = now + host_.config_.timeout;
}

void PeerStream::push(Time now) {
  if (phase_ != Phase::established) return;
  // Several such peers on a slow line would fill it with repeats for ever.
  const uint32_t in_flight_max = timeouts_ < timeouts_before_patience ? host_.config_.in_flight_max : mss_;
  const uint32_t limit = acknowledged_ + std::min(window_, in_flight_max);
  while (before(next_, end_of_queue()) && before(next_, limit)) {
    const uint32_t count = std::min({uint32_t{mss_}, end_of_queue() - next_, limit - next_});
    emit(next_, count, false, now);
    next_ += count;
  }
  const bool fin_due = close_wanted_ && next_ == end_of_queue() && !fin_acknowledged_;
  if (fin_due && (!fin_sent_ || next_ == fin_sequence_)) {
    fin_sent_ = true;
    fin_sequence_ = next_;
    emit(next_, 0, true, now);
    next_++;
  }
  // A window that opened again is announced when it is worth a segment.
  if (room() >= advertised_ + std::min<uint32_t>(2u * mss_, host_.config_.receive_buffer / 2) && advertised_ < mss_)
    emit_ack(now);
  const bool waiting = !everything_acknowledged() || !queue_.empty();
  if (waiting && timer_ == base::never) timer_ = now + host_.config_.timeout;
}

PeerSegment PeerStream::header(Time now) {
  PeerSegment segment;
  segment.source = host_.config_.address;
  segment.destination = tuple_.remote;
  segment.source_port = tuple_.local_port;
  segment.destination_port = tuple_.remote_port;
  segment.ack = true;
  segment.acknowledgement = expected_;
  const uint8_t shift = use_scale_ ? *host_.config_.window_scale : 0;
  segment.window = static_cast<uint16_t>(std::min<uint32_t>(room() >> shift, 65535));
  advertised_ = uint32_t{segment.window} << shift;
  if (use_timestamps_) {
    segment.timestamp = milliseconds(now);
    segment.timestamp_echo = their_timestamp_;
  }
  return segment;
}

void PeerStream::emit(uint32_t sequence, size_t count, bool fin, Time now) {
  PeerSegment segment = header(now);
  segment.sequence = sequence;
  segment.fin = fin;
  segment.psh = count > 0;
  const auto from = queue_.begin() + static_cast<ptrdiff_t>(sequence - acknowledged_);
  segment.payload.assign(from, from + static_cast<ptrdiff_t>(count));
  const uint32_t end = sequence + segment.length();
  if (before(sent_max_, end)) sent_max_ = end;
  if (timer_ == base::never) timer_ = now + host_.config_.timeout;
  host_.send(segment, now);
}

void PeerStream::emit_syn(Time now) {
  const PeerConfig& config = host_.config_;
  const bool answer = phase_ == Phase::syn_received;
  PeerSegment segment = header(now);
  segment.sequence = sent_max_ - 1;
  segment.syn = true;
  segment.ack = answer;
  if (!answer) segment.acknowledgement = 0;
  segment.window = static_cast<uint16_t>(std::min<uint32_t>(room(), 65535));  // never scaled on a SYN
  segment.mss = config.mss;
  if (config.window_scale && (!answer || use_scale_)) segment.window_scale = config.window_scale;
  segment.sack_permitted = config.sack_permitted && !answer;
  if (config.timestamps && (!answer || use_timestamps_)) {
    segment.timestamp = milliseconds(now);
    segment.timestamp_echo = answer ? their_timestamp_ : 0;
  }
  timer_ = now + config.timeout;
  host_.send(segment, now);
}

void PeerStream::emit_ack(Time now) {
  PeerSegment segment = header(now);
  segment.sequence = sent_max_;
  host_.send(segment, now);
}

// ---- the host -------------------------------------------------------------------------------------------------------

PeerHost::PeerHost(World& world, Network& network, const PeerConfig& config)
    : world_(world),
      network_(network),
      config_(config),
      port_(network.attach(*this, config.mac, config.up, config.down)),
      random_(world.random("peer " + config.name)),
      next_port_(static_cast<uint16_t>(random_.between(20000, 40000))) {}

ByteStream* PeerHost::connect(uint32_t address, uint16_t port) {
  const PeerStream::Tuple tuple{address, port, next_port_++};
  streams_.push_back(std::make_unique<PeerStream>(*this, tuple, new_sequence()));
  PeerStream* stream = streams_.back().get();
  live_[tuple] = stream;
  stream->open_actively(world_.now());
  return stream;
}

uint32_t PeerHost::new_sequence() {
  const auto any = static_cast<uint32_t>(random_.u64());
  return config_.near_wrap ? 0xffffffff - any % 50000 : any;
}

bool PeerHost::poll(Time now) {
  const uint64_t sent_before = sent_frames_;
  bool progress = !arrived_.empty();
  while (!arrived_.empty()) {
    const auto frame = std::move(arrived_.front());
    arrived_.pop_front();
    take_frame(frame, now);
  }
  if (ask_again_ <= now) {
    ask_again_ = base::never;
    for (const auto& [address, waiting] : unresolved_) {
      sent_frames_++;
      network_.send(port_, write_arp(true, config_.mac, config_.address, {}, address));
      ask_again_ = now + arp_interval;
    }
  }
  for (size_t i = 0; i < streams_.size(); i++) streams_[i]->on_time(now);
  for (size_t i = 0; i < applications_.size(); i++) progress |= applications_[i]->poll(now);
  for (size_t i = 0; i < streams_.size(); i++) streams_[i]->push(now);
  std::erase_if(live_, [](const auto& entry) { return entry.second->phase_ == PeerStream::Phase::dead; });
  return progress || sent_frames_ != sent_before;
}

Time PeerHost::next_deadline() const {
  Time next = ask_again_;
  for (const auto& stream : streams_) next = std::min(next, stream->timer_);
  for (const auto& application : applications_) next = std::min(next, application->next_deadline());
  return next;
}

void PeerHost::take_frame(base::Bytes frame, Time now) {
  if (auto arp = read_arp(frame)) {
    if (arp->target == config_.address || neighbors_.contains(arp->sender)) neighbors_[arp->sender] = arp->sender_mac;
    if (arp->request && arp->target == config_.address) {
      sent_frames_++;
      network_.send(port_, write_arp(false, config_.mac, config_.address, arp->sender_mac, arp->sender));
    }
    if (auto waiting = unresolved_.extract(arp->sender); waiting && neighbors_.contains(arp->sender))
      for (const PeerSegment& segment : waiting.mapped()) send(segment, now);
    return;
  }
  if (auto segment = read_segment(frame); segment && segment->destination == config_.address)
    take_segment(*segment, now);
}

void PeerHost::take_segment(const PeerSegment& segment, Time now) {
  const PeerStream::Tuple tuple{segment.source, segment.source_port, segment.destination_port};
  if (auto found = live_.find(tuple); found != live_.end()) return found->second->on_segment(segment, now);
  const auto accept = accepts_.find(segment.destination_port);
  if (accept != accepts_.end() && segment.syn && !segment.ack && !segment.rst) {
    streams_.push_back(std::make_unique<PeerStream>(*this, tuple, new_sequence()));
    PeerStream* stream = streams_.back().get();
    live_[tuple] = stream;
    stream->phase_ = PeerStream::Phase::syn_received;
    stream->take_options(segment);
    stream->expected_ = segment.sequence + 1;
    stream->sent_max_ = stream->next_ = stream->acknowledged_ + 1;
    stream->emit_syn(now);
    applications_.push_back(accept->second(*stream));
    return;
  }
  if (segment.rst) return;
  // RFC 9293 3.10.7.1.
  PeerSegment reset;
  reset.source = segment.destination;
  reset.destination = segment.source;
  reset.source_port = segment.destination_port;
  reset.destination_port = segment.source_port;
  reset.rst = true;
  reset.ack = !segment.ack;
  reset.sequence = segment.ack ? segment.acknowledgement : 0;
  reset.acknowledgement = segment.ack ? 0 : segment.sequence + segment.length();
  resets_sent_++;
  send(reset, now);
}

void PeerHost::send(const PeerSegment& segment, Time now) {
  if (auto found = neighbors_.find(segment.destination); found != neighbors_.end()) {
    sent_frames_++;
    network_.send(port_, write_segment(segment, config_.mac, found->second));
    return;
  }
  auto& waiting = unresolved_[segment.destination];
  if (waiting.size() < unresolved_max) waiting.push_back(segment);
  if (ask_again_ == base::never) ask_again_ = now;
}

}  // namespace talaria::sim
