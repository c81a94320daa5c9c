// AMQP 0-9-1 octet by octet, from the specification: nothing of core/amqp091 is used here.

#include "tests/sim/dialect.h"
#include "tests/sim/octets.h"
#include "tests/sim/world.h"

namespace talaria::sim {

namespace {

class Cursor {
 public:
  explicit Cursor(base::Bytes bytes) : bytes_(bytes) {}
  unsigned u8() {
    if (bytes_.empty()) fail("amqp: a method ends too early");
    const unsigned value = bytes_[0];
    bytes_ = bytes_.subspan(1);
    return value;
  }
  uint16_t u16() {
    const unsigned high = u8();
    return static_cast<uint16_t>(high << 8 | u8());
  }
  uint32_t u32() {
    const uint32_t high = u16();
    return high << 16 | u16();
  }
  uint64_t u64() {
    const uint64_t high = u32();
    return high << 32 | u32();
  }
  std::string text(size_t size) {
    if (bytes_.size() < size) fail("amqp: a text ends too early");
    std::string value(reinterpret_cast<const char*>(bytes_.data()), size);
    bytes_ = bytes_.subspan(size);
    return value;
  }
  std::string short_text() { return text(u8()); }
  std::string long_text() { return text(u32()); }
  base::Bytes rest() const { return bytes_; }
  void expect_end() const {
    if (!bytes_.empty()) fail("amqp: %zu octets behind a method", bytes_.size());
  }

 private:
  base::Bytes bytes_;
};

unsigned bits(bool b0, bool b1 = false, bool b2 = false, bool b3 = false, bool b4 = false) {
  return unsigned{b0} | unsigned{b1} << 1 | unsigned{b2} << 2 | unsigned{b3} << 3 | unsigned{b4} << 4;
}

// ---- one overload a command -----------------------------------------------------------------------------------------

struct Writer {
  Octets& out;

  void operator()(const StartOk& c) {
    out.method(10, 11);
    Octets capabilities;
    for (const char* name : {"publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"}) {
      capabilities.short_text(name);
      capabilities.u8('t');
      capabilities.u8(1);
    }
    Octets properties;
    properties.short_text("product");
    properties.u8('S');
    properties.long_text("talaria-sim by hand");
    properties.short_text("capabilities");
    properties.u8('F');
    properties.u32(static_cast<uint32_t>(capabilities.bytes.size()));
    properties.bytes.insert(properties.bytes.end(), capabilities.bytes.begin(), capabilities.bytes.end());
    out.u32(static_cast<uint32_t>(properties.bytes.size()));
    out.bytes.insert(out.bytes.end(), properties.bytes.begin(), properties.bytes.end());
    out.short_text("PLAIN");
    out.long_text(std::string(1, '\0') + c.user + std::string(1, '\0') + c.password);
    out.short_text("en_US");
  }
  void operator()(const TuneOk& c) {
    out.method(10, 31);
    out.u16(c.channel_max);
    out.u32(c.frame_max);
    out.u16(c.heartbeat);
  }
  void operator()(const OpenVhost& c) {
    out.method(10, 40);
    out.short_text(c.name);
    out.short_text("");
    out.u8(0);
  }
  void operator()(const UpdateSecret& c) {
    out.method(10, 70);
    out.long_text(c.secret);
    out.short_text(c.reason);
  }
  void operator()(const CloseConnection&) { close(10, 50); }
  void operator()(const ConnectionCloseOk&) { out.method(10, 51); }
  void operator()(const OpenChannel&) {
    out.method(20, 10);
    out.short_text("");
  }
  void operator()(const CloseChannel&) { close(20, 40); }
  void operator()(const ChannelCloseOk&) { out.method(20, 41); }
  void operator()(const DeclareExchange& c) {
    out.method(40, 10);
    out.u16(0);
    out.short_text(c.name);
    out.short_text(c.type);
    out.u8(bits(c.passive, c.durable, c.auto_delete));
    out.table(c.arguments, c.numbers, c.flags);
  }
  void operator()(const DeleteExchange& c) { named(40, 20, c.name); }
  void operator()(const BindExchange& c) {
    out.method(40, c.remove ? 40 : 30);
    out.u16(0);
    out.short_text(c.destination);
    out.short_text(c.source);
    out.short_text(c.key);
    out.u8(0);
    out.table(c.arguments);
  }
  void operator()(const DeclareQueue& c) {
    out.method(50, 10);
    out.u16(0);
    out.short_text(c.name);
    out.u8(bits(c.passive, c.durable, c.exclusive, c.auto_delete));
    out.table(c.arguments, c.numbers, c.flags);
  }
  void operator()(const BindQueue& c) {
    out.method(50, c.remove ? 50 : 20);
    out.u16(0);
    out.short_text(c.queue);
    out.short_text(c.exchange);
    out.short_text(c.key);
    if (!c.remove) out.u8(0);
    out.table(c.arguments);
  }
  void operator()(const PurgeQueue& c) { named(50, 30, c.name); }
  void operator()(const DeleteQueue& c) { named(50, 40, c.name); }
  void operator()(const Qos& c) {
    out.method(60, 10);
    out.u32(0);
    out.u16(c.count);
    out.u8(bits(c.global));
  }
  void operator()(const Consume& c) {
    out.method(60, 20);
    out.u16(0);
    out.short_text(c.queue);
    out.short_text(c.tag);
    out.u8(bits(false, c.no_ack, c.exclusive));
    out.table({});
  }
  void operator()(const Cancel& c) {
    out.method(60, 30);
    out.short_text(c.tag);
    out.u8(0);
  }
  void operator()(const Publish& c) {
    out.method(60, 40);
    out.u16(0);
    out.short_text(c.exchange);
    out.short_text(c.key);
    out.u8(bits(c.mandatory));
  }
  void operator()(const Get& c) {
    out.method(60, 70);
    out.u16(0);
    out.short_text(c.queue);
    out.u8(bits(c.no_ack));
  }
  void operator()(const Ack& c) { tagged(80, c.tag, bits(c.multiple)); }
  void operator()(const Reject& c) { tagged(90, c.tag, bits(c.requeue)); }
  void operator()(const Nack& c) { tagged(120, c.tag, bits(c.multiple, c.requeue)); }
  void operator()(const Recover&) {
    out.method(60, 110);
    out.u8(1);
  }
  void operator()(const SelectConfirms&) {
    out.method(85, 10);
    out.u8(0);
  }
  void operator()(const SelectTransactions&) { out.method(90, 10); }
  void operator()(const Commit&) { out.method(90, 20); }
  void operator()(const Rollback&) { out.method(90, 30); }

  void close(unsigned class_id, unsigned method_id) {
    out.method(class_id, method_id);
    out.u16(200);
    out.short_text("done");
    out.u32(0);
  }
  void named(unsigned class_id, unsigned method_id, const std::string& name) {
    out.method(class_id, method_id);
    out.u16(0);
    out.short_text(name);
    out.u8(0);
  }
  void tagged(unsigned method_id, uint64_t tag, unsigned flags) {
    out.method(60, method_id);
    out.u64(tag);
    out.u8(flags);
  }
};

Reply read(Cursor in) {
  Reply reply;
  reply.id = in.u32();
  switch (reply.id) {
    case method::connection_start:
      if (in.u8() != 0 || in.u8() != 9) fail("amqp: another version in connection.start");
      in.long_text();  // server properties
      reply.text = in.long_text();
      in.long_text();  // locales
      break;
    case method::connection_tune:
      reply.channel_max = in.u16();
      reply.frame_max = in.u32();
      reply.heartbeat = in.u16();
      break;
    case method::connection_open_ok: in.short_text(); break;
    case method::connection_close:
    case method::channel_close:
      reply.code = in.u16();
      reply.text = in.short_text();
      in.u32();
      break;
    case method::connection_blocked: reply.text = in.short_text(); break;
    case method::channel_open_ok: in.long_text(); break;
    case method::queue_declare_ok:
      reply.name = in.short_text();
      reply.messages = in.u32();
      reply.consumers = in.u32();
      break;
    case method::queue_purge_ok:
    case method::queue_delete_ok: reply.messages = in.u32(); break;
    case method::basic_consume_ok:
    case method::basic_cancel_ok: reply.name = in.short_text(); break;
    case method::basic_cancel:
      reply.name = in.short_text();
      in.u8();
      break;
    case method::basic_return:
      reply.code = in.u16();
      reply.text = in.short_text();
      reply.exchange = in.short_text();
      reply.key = in.short_text();
      break;
    case method::basic_deliver:
      reply.name = in.short_text();
      reply.tag = in.u64();
      reply.redelivered = in.u8() & 1;
      reply.exchange = in.short_text();
      reply.key = in.short_text();
      break;
    case method::basic_get_ok:
      reply.tag = in.u64();
      reply.redelivered = in.u8() & 1;
      reply.exchange = in.short_text();
      reply.key = in.short_text();
      reply.messages = in.u32();
      break;
    case method::basic_get_empty: in.short_text(); break;
    case method::basic_ack:
    case method::basic_nack:
      reply.tag = in.u64();
      reply.multiple = in.u8() & 1;
      break;
    case method::connection_close_ok:
    case method::connection_unblocked:
    case method::connection_update_secret_ok:
    case method::channel_close_ok:
    case method::exchange_declare_ok:
    case method::exchange_delete_ok:
    case method::exchange_bind_ok:
    case method::exchange_unbind_ok:
    case method::queue_bind_ok:
    case method::queue_unbind_ok:
    case method::basic_qos_ok:
    case method::basic_recover_ok:
    case method::confirm_select_ok:
    case method::tx_select_ok:
    case method::tx_commit_ok:
    case method::tx_rollback_ok: break;
    default: fail("amqp: the broker sent method %u.%u", reply.id >> 16, reply.id & 65535);
  }
  in.expect_end();
  return reply;
}

class HandDialect final : public Dialect {
 public:
  void write(Buffer& out, uint16_t channel, const Command& command) const override {
    Octets payload;
    std::visit(Writer{payload}, command);
    append_frame(out, 1, channel, payload.bytes);
  }
  Buffer write_header(Buffer& out, uint16_t channel, uint64_t body_size,
                      const MessageProperties& properties) const override {
    Octets list;
    unsigned flags = 0;
    if (properties.content_type) {
      flags |= 1u << 15;
      list.short_text(*properties.content_type);
    }
    if (properties.has_headers()) {
      flags |= 1u << 13;
      NumberTable numbers;
      if (properties.delay) numbers.emplace_back("x-delay", *properties.delay);
      list.table(properties.headers.value_or(TextTable{}), numbers, {}, properties.lists());
    }
    if (properties.delivery_mode) {
      flags |= 1u << 12;
      list.u8(*properties.delivery_mode);
    }
    if (properties.priority) {
      flags |= 1u << 11;
      list.u8(*properties.priority);
    }
    if (properties.correlation_id) {
      flags |= 1u << 10;
      list.short_text(*properties.correlation_id);
    }
    if (properties.reply_to) {
      flags |= 1u << 9;
      list.short_text(*properties.reply_to);
    }
    if (properties.expiration) {
      flags |= 1u << 8;
      list.short_text(*properties.expiration);
    }
    if (properties.message_id) {
      flags |= 1u << 7;
      list.short_text(*properties.message_id);
    }
    if (properties.user_id) {
      flags |= 1u << 4;
      list.short_text(*properties.user_id);
    }
    Octets raw;
    raw.u16(flags);
    raw.bytes.insert(raw.bytes.end(), list.bytes.begin(), list.bytes.end());
    Octets payload;
    payload.u16(60);
    payload.u16(0);
    payload.u64(body_size);
    payload.bytes.insert(payload.bytes.end(), raw.bytes.begin(), raw.bytes.end());
    append_frame(out, 2, channel, payload.bytes);
    return raw.bytes;
  }
  void write_body(Buffer& out, uint16_t channel, base::Bytes part) const override {
    append_frame(out, 3, channel, Buffer(part.begin(), part.end()));
  }
  void write_heartbeat(Buffer& out) const override { append_frame(out, 8, 0, {}); }

  FrameView read_frame(base::Bytes bytes, uint32_t frame_max) const override {
    if (bytes.size() < 7) return {};
    Cursor in(bytes);
    FrameView view;
    view.type = static_cast<uint8_t>(in.u8());
    view.channel = in.u16();
    const uint32_t size = in.u32();
    if (size + 8 > frame_max) fail("amqp: a frame of %u octets, %u were agreed on", size + 8, frame_max);
    if (bytes.size() < size_t{size} + 8) return {};
    if (bytes[7 + size] != 0xce) fail("amqp: a frame does not end in 0xce");
    view.payload = bytes.subspan(7, size);
    view.size = size_t{size} + 8;
    return view;
  }
  Reply read_method(base::Bytes payload) const override { return read(Cursor(payload)); }
  HeaderView read_header(base::Bytes payload) const override {
    Cursor in(payload);
    if (in.u16() != 60 || in.u16() != 0) fail("amqp: a content header of another class, or with a weight");
    HeaderView view;
    view.body_size = in.u64();
    view.properties = in.rest();
    return view;
  }
};

}  // namespace

const Dialect& hand_dialect() {
  static const HandDialect dialect;
  return dialect;
}

}  // namespace talaria::sim
