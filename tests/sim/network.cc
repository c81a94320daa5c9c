#include "tests/sim/network.h"

#include <algorithm>

#include "core/base/hash.h"

namespace talaria::sim {

namespace {

constexpr size_t ethernet_bytes = 14;
constexpr size_t ethernet_frame_min = 60;  // without the frame check sequence

bool is_ipv4(base::Bytes frame) { return frame.size() > ethernet_bytes && frame[12] == 0x08 && frame[13] == 0x00; }

}  // namespace

Network::PortIndex Network::attach(Port& port, const net::MacAddress& mac, const Link& up, const Link& down) {
  const std::string number = std::to_string(ports_.size());
  ports_.push_back(std::make_unique<Attachment>(Attachment{
      .port = &port,
      .mac = mac,
      .up = {.link = up, .random = world_.random("link up " + number)},
      .down = {.link = down, .random = world_.random("link down " + number)},
  }));
  return ports_.size() - 1;
}

Time Network::send(PortIndex from, base::Bytes frame) {
  CHECK(frame.size() >= ethernet_bytes);
  counters_.sent++;
  world_.mix(static_cast<uint64_t>(world_.now().time_since_epoch().count()));
  world_.mix(base::hash_bytes(frame));
  if (capture_) capture_->add(world_.now(), frame);
  try {
    if (observer_) observer_(frame);
  } catch (const Failure& failure) {
    world_.fail_later(failure.what());
  }
  if (on_watched_ && is_of(from, frame, watched_)) on_watched_(++watched_frames_);
  if (counters_.sent - 1 == lost_frame_ || (cut_ && is_of(from, frame, *cut_))) {
    counters_.lost++;
    return world_.now();
  }
  Frame copy(frame.begin(), frame.end());
  // Ethernet pads, and nobody promises with what.
  if (copy.size() < ethernet_frame_min) copy.resize(ethernet_frame_min, 0xee);
  return pass(ports_[from]->up, std::move(copy), [this, from](Frame arrived) { forward(from, arrived); });
}

void Network::watch(const net::MacAddress& mac, std::function<void(uint64_t number)> on_frame) {
  watched_ = mac;
  on_watched_ = std::move(on_frame);
}

bool Network::is_of(PortIndex from, base::Bytes frame, const net::MacAddress& mac) const {
  return ports_[from]->mac == mac || std::equal(mac.begin(), mac.end(), frame.begin());
}

void Network::forward(PortIndex from, const Frame& frame) {
  net::MacAddress destination;
  std::copy_n(frame.begin(), destination.size(), destination.begin());
  const bool group = destination[0] & 1;
  bool known = group;
  for (size_t index = 0; index < ports_.size(); index++) {
    Attachment& to = *ports_[index];
    if (index == from || (!group && to.mac != destination)) continue;
    known = true;
    pass(to.down, frame, [this, port = to.port](Frame arrived) {
      counters_.delivered++;
      port->on_frame(arrived);
    });
  }
  if (!known) counters_.unknown_mac++;
}

Time Network::pass(Direction& direction, Frame frame, std::function<void(Frame)> deliver) {
  const Link& link = direction.link;
  Random& random = direction.random;
  const Faults& faults = link.faults;
  const uint64_t number = direction.frames++;

  // The line itself: rate and queue.
  const Time start = std::max(world_.now(), direction.line_free);
  const auto bits = static_cast<int64_t>(8 * (frame.size() + 24));  // preamble, frame check, gap
  const auto rate = static_cast<int64_t>(link.bits_per_second);
  const auto waiting =
      static_cast<uint64_t>((start - world_.now()).count()) * (link.bits_per_second / 8'000'000) / 1000;
  if (waiting > link.queue_bytes) {
    counters_.overflowed++;
    return direction.line_free;
  }
  const Time sent = start + Duration(bits * 1'000'000'000 / rate);
  direction.line_free = sent;

  // Every draw is made for every frame, so that one fault's verdict does not shift the others'.
  const bool lost = random.chance(faults.loss);
  const bool burst_edge = random.chance(direction.burst ? faults.burst_end : faults.burst_start);
  if (direction.burst && world_.now() - direction.burst_began > faults.burst_max) direction.burst = false;
  if (burst_edge) {
    direction.burst = !direction.burst;
    direction.burst_began = world_.now();
  }
  const bool burst_lost = random.chance(faults.burst_loss) && direction.burst;
  const bool twice = random.chance(faults.duplicate);
  const bool late = random.chance(faults.reorder);
  const Duration lateness = random.between(0ns, faults.reorder_delay);
  const Duration jitter = random.between(0ns, link.jitter);
  const bool pause = random.chance(faults.pause);
  const Duration pause_length = random.between(0ns, faults.pause_max);

  if (faults_) {
    if (lost || burst_lost || (faults.drop_if && faults.drop_if(frame, number))) {
      counters_.lost++;
      return sent;
    }
    damage(direction, frame);
    if (pause) direction.paused_until = std::max(direction.paused_until, world_.now() + pause_length);
  }
  Time arrival = std::max({sent + link.delay + jitter, direction.last_arrival, direction.paused_until});
  if (faults_ && late) {
    counters_.reordered++;
    arrival += lateness;
  } else {
    direction.last_arrival = arrival;
  }
  if (faults_ && twice) {
    counters_.duplicated++;
    world_.at(arrival + lateness, [deliver, frame] { deliver(frame); });
  }
  world_.at(arrival, [deliver = std::move(deliver), frame = std::move(frame)]() mutable { deliver(std::move(frame)); });
  return sent;
}

void Network::damage(Direction& direction, Frame& frame) {
  Random& random = direction.random;
  const Faults& faults = direction.link.faults;
  if (!is_ipv4(frame)) return;
  if (random.chance(faults.corrupt)) {
    counters_.corrupted++;
    // A change within one byte is one that the Internet checksum always sees.
    frame[random.between(ethernet_bytes, frame.size() - 1)] ^= static_cast<uint8_t>(random.between(1, 255));
  }
  if (random.chance(faults.truncate)) {
    counters_.truncated++;
    frame.resize(random.between(ethernet_bytes, frame.size() - 1));
  }
}

}  // namespace talaria::sim
