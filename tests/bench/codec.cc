// The codec: a publish in, three frames parsed where they lie; a delivery out, encoded into the send buffer.
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/base/check.h"
#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

using namespace talaria::amqp091::wire;

// Flags and list: content type and delivery mode, as most clients set them.
std::vector<uint8_t> usual_properties() {
  std::vector<uint8_t> space(64);
  Writer out(space);
  Properties properties;
  properties.content_type = "application/octet-stream";
  properties.set(Property::content_type);
  properties.delivery_mode = 1;
  properties.set(Property::delivery_mode);
  emit_properties(out, properties);
  space.resize(out.size());
  return space;
}

std::vector<uint8_t> publish_frames(size_t body_size) {
  std::vector<uint8_t> space(body_size + 256);
  Writer out(space);
  emit_method_frame(out, 1, basic::Publish{.exchange = "", .routing_key = "orders.incoming"});
  emit_content_header_frame(out, 1, body_size, usual_properties());
  uint8_t* body = begin_frame(out, FrameType::body, 1);
  out.bytes(std::vector<uint8_t>(body_size, 'x'));
  end_frame(out, body);
  CHECK(out.ok());
  space.resize(out.size());
  return space;
}

void ParsePublish(benchmark::State& state) {
  const auto stream = publish_frames(static_cast<size_t>(state.range(0)));
  CycleCounter cycles(state);
  for (auto _ : state) {
    Bytes rest = stream;
    benchmark::DoNotOptimize(rest);
    Frame method = parse_frame(rest, 131072);
    auto publish = parse<basic::Publish>(method.payload);
    rest = rest.subspan(method.size);
    Frame header = parse_frame(rest, 131072);
    auto scan = scan_content_header(header.payload);
    rest = rest.subspan(header.size);
    Frame body = parse_frame(rest, 131072);
    benchmark::DoNotOptimize(publish->routing_key.data());
    benchmark::DoNotOptimize(scan->body_size);
    benchmark::DoNotOptimize(body.payload.data());
  }
}
BENCHMARK(ParsePublish)->Arg(16)->Arg(100)->Arg(1024);

void EmitDeliver(benchmark::State& state) {
  const auto properties = usual_properties();
  const std::vector<uint8_t> body(static_cast<size_t>(state.range(0)), 'x');
  const DeliverTemplate consumer(1, "amq.ctag-0123456789abcdefghijkl");
  Delivery delivery{.exchange = "", .routing_key = "orders.incoming", .raw_properties = properties};
  std::vector<uint8_t> space(4096);
  CycleCounter cycles(state);
  for (auto _ : state) {
    delivery.delivery_tag++;
    size_t size = consumer.emit(space, delivery, body, 131072);
    benchmark::DoNotOptimize(size);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(EmitDeliver)->Arg(16)->Arg(100)->Arg(1024);

void ParseAck(benchmark::State& state) {
  std::vector<uint8_t> frame(ack_frame_size);
  CHECK(emit_ack(frame, 1, 1000, true) == frame.size());
  CycleCounter cycles(state);
  for (auto _ : state) {
    Bytes rest = frame;
    benchmark::DoNotOptimize(rest);
    auto ack = parse<basic::Ack>(parse_frame(rest, 131072).payload);
    benchmark::DoNotOptimize(ack->delivery_tag);
  }
}
BENCHMARK(ParseAck);

}  // namespace
}  // namespace talaria::bench
