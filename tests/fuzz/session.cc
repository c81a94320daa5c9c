// Fuzzes whole AMQP 0-9-1 sessions: the input is what a client sends, over two TCP stacks, to a broker whose control
// plane says yes.
//
//   | how u8 | octets of the client ...          how: bits 0-3 the size of its packets, bit 4 it does not read,
//                                                     bit 5 it resets instead of closing, bit 6 answers come late
//
// Whatever the input, nothing may crash, hang or leak: at the end every session has gone, every message has gone home,
// and the invariants of sessions, engine and stacks hold all the way. A second, well-behaved client must be served
// meanwhile.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "core/amqp091/wire/frame.h"
#include "tests/unit/amqp091/session/world.h"

namespace {

using namespace talaria;
using namespace talaria::amqp091::session;

constexpr size_t input_max = 128 * 1024;

WorldOptions small_world() {
  WorldOptions options;
  options.blocks = 32;
  options.tick = 100us;
  options.session.sessions = 4;
  // Small numbers reach the bounds that large ones hide.
  options.session.frames_per_turn = 16;
  options.session.settle_per_turn = 4;
  options.session.confirms_outstanding = 8;
  options.session.permissions_remembered = 2;
  options.session.message_size_max = 1 << 20;
  for (tcp::Config* tcp : {&options.server_tcp, &options.client_tcp}) {
    tcp->connections = 8;
    tcp->half_open = 8;
    tcp->time_wait = 8;
    tcp->send_chunks = 128;
    tcp->receive_chunks = 128;
    tcp->shared_slices = 64;
    tcp->receive_window = 64 * 1024;
    tcp->send_high_watermark = 64 * 1024;
    tcp->send_low_watermark = 32 * 1024;
  }
  return options;
}

tcp::ConnectionId connect(World& world) {
  auto id = world.client.stack.connect({net::Ipv4Address{server_address}, 5672}, std::nullopt, world.now);
  if (!id) std::abort();
  world.streams[id->slot] = {};
  world.open_clients.push_back(*id);
  world.run(1ms);
  return *id;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > input_max) return 0;
  const uint8_t how = data[0];
  base::Bytes input(data + 1, size - 1);
  World world(small_world());
  world.control.add_queue("q");
  world.control.add_queue("far");
  world.control.bind("amq.fanout", "q", "");
  world.control.bind("amq.fanout", "far", "");

  tcp::ConnectionId id = connect(world);
  world.streams[id.slot].reads = (how & 0x10) == 0;
  const size_t packet = size_t{1} << (how & 0x0F);
  unsigned patience = 0;
  while (!input.empty() && patience < 64 && !world.streams[id.slot].closed) {
    base::Bytes part = input.first(std::min(packet, input.size()));
    if (world.client.stack.send_room(id) == 0 || !world.client.stack.send(id, part)) {
      // Nobody reads it: the broker waits for something. That is its right.
      patience++;
      world.run(1ms);
      continue;
    }
    input = input.subspan(part.size());
    world.control_silent = (how & 0x40) != 0 && input.size() % 3 != 0;
    world.turn();
    world.now += 10us;
  }
  world.control_silent = false;
  world.run(3ms);
  world.sessions.check_invariants();
  world.here.engine.check_invariants();

  // Somebody else is greeted all the same.
  tcp::ConnectionId other = connect(world);
  if (!world.client.stack.send(other, amqp091::wire::protocol_header)) std::abort();
  world.run(1ms);
  if (world.streams[other.slot].received.size() < 100) std::abort();

  if ((how & 0x20) != 0)
    world.client.stack.abort(id);
  else
    world.client.stack.close(id);
  world.run(1ms);
  world.sessions.check_invariants();
  return 0;
}
