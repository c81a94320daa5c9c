#include "tests/sim/environment.h"

namespace talaria::sim {

Weather draw_weather(Random& random) {
  Weather weather;
  switch (random.below(4)) {
    case 0: weather.severity = 0; break;
    case 1: weather.severity = 0.1; break;
    case 2: weather.severity = 0.4; break;
    default: weather.severity = 1; break;
  }
  weather.slow = random.chance(0.3);
  return weather;
}

Link draw_link(Random& random, const Weather& weather) {
  Link link;
  link.bits_per_second =
      weather.slow ? random.between(2'000'000, 50'000'000) : random.between(100'000'000, 10'000'000'000);
  link.delay = weather.slow ? random.between(1ms, 50ms) : random.between(1us, 500us);
  if (random.chance(0.5)) link.jitter = random.between(0ns, link.delay);
  link.queue_bytes = random.between(16 * 1024, 1024 * 1024);
  // Each fault is there or not, so that they occur alone and together.
  const auto perhaps = [&](double worst) {
    return random.chance(0.5) ? weather.severity * worst * static_cast<double>(random.below(1000)) / 1000 : 0;
  };
  Faults& faults = link.faults;
  faults.loss = perhaps(0.2);
  faults.burst_start = perhaps(0.02);
  faults.burst_end = 0.2;
  faults.duplicate = perhaps(0.1);
  faults.reorder = perhaps(0.2);
  faults.reorder_delay = 2 * link.delay + 1ms;
  faults.corrupt = perhaps(0.05);
  faults.truncate = perhaps(0.05);
  faults.pause = perhaps(0.005);
  return link;
}

NicConfig draw_nic(Random& random, uint8_t number) {
  NicConfig config;
  config.mac = mac_of(number);
  if (random.chance(0.2)) config.mtu = static_cast<uint16_t>(random.between(576, 1500));
  // Now and then so few packets that the pool itself is a bottleneck.
  if (random.chance(0.2)) {
    config.receive_packets = random.between(32, 128);
    config.transmit_packets = random.between(8, 64);
    config.receive_ring = random.between(8, 64);
    config.transmit_ring = random.between(4, 32);
  }
  config.checksum_offload = random.chance(0.3);
  if (random.chance(0.2)) config.refuse_chance = 0.1;
  if (config.checksum_offload && random.chance(0.5))
    config.segmentation = static_cast<uint16_t>(random.between(config.mtu, 65000));
  return config;
}

tcp::Config draw_tcp(Random& random) {
  tcp::Config config;
  config.connections = 64;
  config.half_open = random.chance(0.2) ? 2 : 64;  // two: SYN cookies
  config.time_wait = random.chance(0.2) ? 4 : 256;
  config.send_chunks = random.between(64, 512);
  config.shared_slices = random.between(64, 1024);
  config.receive_chunks = random.between(64, 512);
  config.held_packets = random.between(8, 128);
  config.receive_window = static_cast<uint32_t>(random.between(4096, 256 * 1024));
  config.send_high_watermark = static_cast<uint32_t>(random.between(2048, 128 * 1024));
  config.send_low_watermark = config.send_high_watermark / 2;
  config.delayed_ack = random.between(1ms, 100ms);
  config.rto_min = random.between(50ms, 300ms);
  config.timestamps = random.chance(0.7);
  config.selective_acknowledgement = random.chance(0.7);
  // A half-closed stream may take its time here; that the timers work is for the unit tests.
  config.fin_wait_2_timeout = 3000s;
  config.linger_timeout = 3000s;
  return config;
}

PeerConfig draw_peer(Random& random, uint8_t number) {
  PeerConfig config;
  config.mac = mac_of(number);
  config.address = address_of(number);
  config.mss = static_cast<uint16_t>(random.between(100, 1460));
  config.receive_buffer = static_cast<uint32_t>(random.between(300, 65535));
  config.in_flight_max = static_cast<uint32_t>(random.between(200, 65535));
  config.timeout = random.between(100ms, 1000ms);
  // A scale that would round a small buffer down to nothing is a broken peer.
  if (random.chance(0.5)) config.window_scale = static_cast<uint8_t>(random.between(0, config.receive_buffer / 10'000));
  config.timestamps = random.chance(0.5);
  config.sack_permitted = random.chance(0.5);
  config.near_wrap = random.chance(0.3);
  return config;
}

Pace draw_pace(Random& random) {
  Pace pace;
  if (random.chance(0.3)) pace.turn_cost = random.between(500ns, 50us);
  if (random.chance(0.2)) {
    pace.stall_chance = 0.001;
    pace.stall_max = 50ms;
  }
  return pace;
}

}  // namespace talaria::sim
