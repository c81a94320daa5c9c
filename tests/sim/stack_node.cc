#include "tests/sim/stack_node.h"

#include <algorithm>
#include <cstring>

namespace talaria::sim {

namespace {

uint64_t key_of(tcp::ConnectionId id) { return uint64_t{id.slot} << 32 | id.generation; }

base::HashKey key_from(Random random) { return {random.u64(), random.u64()}; }

}  // namespace

// ---- the stream -----------------------------------------------------------------------------------------------------

StackStream::StackStream(StackNode& node, tcp::ConnectionId id, bool connected)
    : node_(node), id_(id), connected_(connected) {}

ByteStream::State StackStream::state() const {
  if (closed_) return State::closed;
  if (!connected_) return State::opening;
  return peer_finished_ ? State::finished : State::open;
}

base::Bytes StackStream::input() {
  if (closed_) return base::Bytes(rest_).subspan(rest_read_);
  return node_.stack_.input(id_);
}

void StackStream::consume(size_t count) {
  if (closed_)
    rest_read_ += count;
  else
    node_.stack_.consume(id_, count);
}

// All three ways of writing, at random: they must make one stream.
size_t StackStream::send(base::Bytes bytes) {
  tcp::Stack& stack = node_.stack_;
  size_t count = std::min(bytes.size(), stack.send_room(id_));
  if (closed_ || count == 0) return 0;
  switch (node_.random_.below(3)) {
    case 0: return stack.send(id_, bytes.first(count)) ? count : 0;
    case 1: {
      count = std::min(count, tcp::reserve_max);
      const base::MutableBytes space = stack.reserve(id_, node_.random_.between(count, tcp::reserve_max));
      if (space.empty()) return 0;
      std::memcpy(space.data(), bytes.data(), count);
      stack.commit(id_, count);
      return count;
    }
    default: {
      auto copy = std::make_unique<std::vector<uint8_t>>(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
      if (!stack.send_shared(id_, *copy, copy.get())) return 0;
      void* owner = copy.get();
      node_.shared_.emplace(owner, std::move(copy));
      return count;
    }
  }
}

void StackStream::close() {
  if (!closed_) node_.stack_.close(id_);
}
void StackStream::abort() {
  if (!closed_) node_.stack_.abort(id_);
}

void StackStream::on_event(const tcp::Event& event) {
  connected_ |= event.accepted || event.connected;
  peer_finished_ |= event.peer_finished;
  if (!event.closed) return;
  if (event.reason == tcp::CloseReason::finished) {
    for (base::Bytes more = node_.stack_.input(id_); !more.empty(); more = node_.stack_.input(id_)) {
      rest_.insert(rest_.end(), more.begin(), more.end());
      node_.stack_.consume(id_, more.size());
    }
  } else {
    failure_ = tcp::to_text(event.reason);
  }
  closed_ = true;
}

// ---- the node -------------------------------------------------------------------------------------------------------

StackNode::StackNode(World& world, Network& network, const StackNodeConfig& config)
    : world_(world),
      config_(config),
      random_(world.random("node " + config.name)),
      nic_(world, network, config.nic, config.up, config.down),
      host_(config.host, nic_.device(0), key_from(world.random("host key " + config.name))),
      stack_(config.tcp, host_, key_from(world.random("stack key " + config.name))) {}

StackNode::~StackNode() = default;

void StackNode::listen(uint16_t port, Accept accept) {
  CHECK(stack_.listen(port));
  accepts_[port] = std::move(accept);
}

ByteStream* StackNode::connect(tcp::Endpoint remote) {
  const auto id = stack_.connect(remote, std::nullopt, world_.now());
  if (!id) return nullptr;
  auto& stream = streams_[key_of(*id)];
  CHECK(!stream);  // an id must not come back while its connection lives
  stream = std::make_unique<StackStream>(*this, *id, false);
  return stream.get();
}

bool StackNode::poll(Time now) {
  now_ = now;
  const uint64_t moved_before = nic_.moved();
  host_.receive(now);
  stack_.on_segments(host_.datagrams(), now);
  stack_.on_time(now);
  bool progress = !stack_.events().empty();
  handle_events();
  // An application may make others (an accept, a reconnect): by index.
  for (size_t i = 0; i < applications_.size(); i++) progress |= applications_[i]->poll(now);
  stack_.end_input(now);
  stack_.output(now);
  host_.on_time(now);
  host_.flush();
  free_released();
  return progress || nic_.moved() != moved_before;
}

void StackNode::handle_events() {
  for (const tcp::Event& event : stack_.events()) {
    auto& stream = streams_[key_of(event.id)];
    if (event.accepted) {
      CHECK(!stream);
      stream = std::make_unique<StackStream>(*this, event.id, true);
      const auto info = stack_.info(event.id, now_);
      CHECK(info);
      applications_.push_back(accepts_.at(info->local.port)(*stream));
    }
    CHECK(stream);  // an event of a connection that nobody knows
    stream->on_event(event);
    if (event.closed) {
      ended_.push_back(std::move(stream));
      streams_.erase(key_of(event.id));
    }
  }
  stack_.clear_events();
}

void StackNode::free_released() {
  for (void* owner : stack_.take_released())
    if (shared_.erase(owner) != 1) fail("%s: shared bytes released twice", config_.name.c_str());
}

Time StackNode::next_deadline() const {
  Time next = std::min(stack_.next_deadline(), host_.next_deadline());
  for (const auto& application : applications_) next = std::min(next, application->next_deadline());
  return next;
}

void StackNode::check() const {
  stack_.check_invariants();
  if (stack_.packets_held() != 0) fail("%s: packets held after end_input", config_.name.c_str());
}

void StackNode::check_all_home() const {
  const tcp::StackCounters& counters = stack_.counters();
  const auto expect_zero = [this](const char* what, uint64_t value) {
    if (value != 0) fail("%s: %lu %s left at the end", config_.name.c_str(), value, what);
  };
  expect_zero("connections", stack_.connection_count());
  expect_zero("connections (counted)", counters.connections_open.value());
  expect_zero("half-open entries", counters.half_open_entries.value());
  expect_zero("TIME_WAIT entries", counters.time_wait_entries.value());
  expect_zero("send chunks", counters.send_chunks_used.value());
  expect_zero("shared slices", counters.shared_slices_used.value());
  expect_zero("receive chunks", counters.receive_chunks_used.value());
  expect_zero("shared buffers", shared_.size());
  expect_zero("packets held by the host", host_.packets_held());
  expect_zero("packets out", nic_.packets_out());
}

}  // namespace talaria::sim
