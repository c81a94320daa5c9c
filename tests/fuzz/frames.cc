// Fuzzes the AMQP 0-9-1 codec with what a stranger may send: a greeting and frames behind each other.
//
// Whatever the input, nothing may crash or read beyond it (the input is copied to an allocation of its own size). And
// what is accepted must mean something: emitted again and parsed again it is the same octets; the quick scan of a
// content header and the full parse agree; a table that validates decodes, unless a bound stops it.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/frame.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace {

using namespace talaria;
using namespace talaria::amqp091::wire;

void require(bool holds) {
  if (!holds) std::abort();
}

std::vector<uint8_t> emitted(size_t room, auto&& write) {
  std::vector<uint8_t> bytes(room);
  Writer out(bytes);
  write(out);
  require(out.ok());
  bytes.resize(out.size());
  return bytes;
}

void on_table(Table table) {
  std::array<base::HeaderView, 8> space;
  auto headers = parse_headers(table, space);
  auto decoded = decode_table(table);
  bool valid = validate_table(table).has_value();
  require(valid || !decoded);
  require(!valid || headers.has_value());
  if (!decoded) return;
  // One octet more than needed would be a wrong table_size, one less a failed writer.
  size_t size = table_size(*decoded);
  require(size == table.bytes.size() + 4);
  auto bytes = emitted(size, [&](Writer& out) { emit_table(out, *decoded); });
  require(bytes.size() == size);
  auto again = decode_table(Table{Bytes(bytes).subspan(4)});
  require(again.has_value() && again->size() == decoded->size());
  require(emitted(size, [&](Writer& out) { emit_table(out, *again); }) == bytes);
}

void on_method(Bytes payload) {
  auto visited = visit_method(payload, [&]<class M>(const M& parsed) {
    require(M::id == load_method_id(payload));
    // Reserved fields come out empty, so the second form may be shorter but never longer; the third is the second.
    auto bytes = emitted(payload.size(), [&](Writer& out) { emit(out, parsed); });
    auto again = parse<M>(bytes);
    require(again.has_value());
    require(emitted(bytes.size(), [&](Writer& out) { emit(out, *again); }) == bytes);
    auto visit_field = [](const auto& field) {
      if constexpr (std::is_same_v<std::decay_t<decltype(field)>, Table>) on_table(field);
    };
    std::apply([&](const auto&... field) { (visit_field(field), ...); }, M::fields(parsed));
  });
  if (!visited) require(is_hard(visited.error().code) && !visited.error().text.empty());
}

void on_content_header(Bytes payload) {
  auto scan = scan_content_header(payload);
  auto header = parse_content_header(payload);
  require(scan.has_value() == header.has_value());
  if (!header) {
    require(scan.error() == header.error());
    return;
  }
  const Properties& properties = header->properties;
  require(scan->flags == properties.flags && scan->body_size == header->body_size);
  require(scan->delivery_mode == properties.delivery_mode && scan->priority == properties.priority);
  require(scan->expiration == properties.expiration);
  require(scan->headers.bytes.data() == properties.headers.bytes.data());
  require(scan->headers.bytes.size() == properties.headers.bytes.size());
  auto raw = emitted(header->raw.size(), [&](Writer& out) { emit_properties(out, properties); });
  require(std::equal(raw.begin(), raw.end(), header->raw.begin(), header->raw.end()));
  on_table(scan->headers);

  // A delivery takes exactly the room it says, and is read back.
  Delivery delivery{.delivery_tag = scan->body_size,
                    .exchange = properties.content_type,
                    .routing_key = properties.correlation_id,
                    .raw_properties = scan->raw};
  DeliverTemplate consumer(1, properties.reply_to);
  std::vector<uint8_t> space(consumer.size(delivery, payload.size(), frame_min_size));
  require(consumer.emit(space, delivery, payload, frame_min_size) == space.size());
  size_t body_size = 0;
  for (Bytes rest = space; !rest.empty();) {
    Frame frame = parse_frame(rest, static_cast<uint32_t>(space.size()));
    require(frame.status == FrameStatus::whole);
    if (frame.type == FrameType::body) body_size += frame.payload.size();
    rest = rest.subspan(frame.size);
  }
  require(body_size == payload.size());
}

void on_frames(Bytes rest) {
  while (true) {
    Frame frame = parse_frame(rest, 131072);
    if (frame.status == FrameStatus::malformed) {
      require(is_hard(error_of(frame.fault).code));
      return;
    }
    if (frame.status == FrameStatus::incomplete) {
      require(frame.size > rest.size());
      return;
    }
    require(frame.size == frame.payload.size() + frame_overhead && frame.size <= rest.size());
    if (frame.type == FrameType::method) on_method(frame.payload);
    if (frame.type == FrameType::header) on_content_header(frame.payload);
    rest = rest.subspan(frame.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> input(data, data + size);
  input.shrink_to_fit();
  Bytes bytes(input);
  Greeting greeting = recognise_greeting(bytes);
  require(greeting != Greeting::amqp091 || size >= protocol_header.size());
  if (greeting == Greeting::amqp091) bytes = bytes.subspan(protocol_header.size());
  on_frames(bytes);
  // The same octets without an envelope, so that the fuzzer need not find frame sizes to get inside.
  on_method(input);
  on_content_header(input);
  on_table(Table{input});
  return 0;
}
