// The same commands and replies by way of the broker's own codec, core/amqp091/wire.

#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"
#include "tests/sim/dialect.h"
#include "tests/sim/world.h"

namespace talaria::sim {

namespace {

namespace wire = amqp091::wire;

constexpr size_t method_frame_max = 64 * 1024;

// An encoded table that lives as long as it is looked at.
class EncodedTable {
 public:
  explicit EncodedTable(const TextTable& entries, const NumberTable& numbers = {}, const FlagTable& flags = {}) {
    base::FieldTable table;
    for (const auto& [name, value] : entries) table.push_back({name, {value}});
    for (const auto& [name, value] : numbers) table.push_back({name, {value}});
    for (const auto& [name, value] : flags) table.push_back({name, {value}});
    encode(table);
  }
  explicit EncodedTable(const base::FieldTable& table) { encode(table); }
  wire::Table view() const { return {base::Bytes(bytes_).subspan(4)}; }

 private:
  void encode(const base::FieldTable& table) {
    bytes_.resize(wire::table_size(table));
    base::Writer out(bytes_);
    wire::emit_table(out, table);
    CHECK(out.ok());
  }
  Buffer bytes_;
};

struct Writer {
  base::Writer& out;
  uint16_t channel;

  template <class Method>
  void emit(const Method& method) {
    wire::emit_method_frame(out, channel, method);
  }

  void operator()(const StartOk& c) {
    const base::FieldTable capabilities{
        {"publisher_confirms", {true}}, {"consumer_cancel_notify", {true}}, {"connection.blocked", {true}}};
    const EncodedTable properties(
        base::FieldTable{{"product", {std::string("talaria-sim")}}, {"capabilities", {capabilities}}});
    const std::string response = std::string(1, '\0') + c.user + std::string(1, '\0') + c.password;
    emit(wire::connection::StartOk{.client_properties = properties.view(),
                                   .mechanism = "PLAIN",
                                   .response = base::as_bytes(response),
                                   .locale = "en_US"});
  }
  void operator()(const TuneOk& c) {
    emit(wire::connection::TuneOk{.channel_max = c.channel_max, .frame_max = c.frame_max, .heartbeat = c.heartbeat});
  }
  void operator()(const OpenVhost& c) { emit(wire::connection::Open{.virtual_host = c.name}); }
  void operator()(const UpdateSecret& c) {
    emit(wire::connection::UpdateSecret{.new_secret = base::as_bytes(c.secret), .reason = c.reason});
  }
  void operator()(const CloseConnection&) { emit(wire::connection::Close{.reply_code = 200, .reply_text = "done"}); }
  void operator()(const ConnectionCloseOk&) { emit(wire::connection::CloseOk{}); }
  void operator()(const OpenChannel&) { emit(wire::channel::Open{}); }
  void operator()(const CloseChannel&) { emit(wire::channel::Close{.reply_code = 200, .reply_text = "done"}); }
  void operator()(const ChannelCloseOk&) { emit(wire::channel::CloseOk{}); }
  void operator()(const DeclareExchange& c) {
    const EncodedTable arguments(c.arguments, c.numbers, c.flags);
    emit(wire::exchange::Declare{.exchange = c.name,
                                 .type = c.type,
                                 .passive = c.passive,
                                 .durable = c.durable,
                                 .auto_delete = c.auto_delete,
                                 .arguments = arguments.view()});
  }
  void operator()(const DeleteExchange& c) { emit(wire::exchange::Delete{.exchange = c.name}); }
  void operator()(const BindExchange& c) {
    const EncodedTable arguments(c.arguments);
    if (c.remove)
      emit(wire::exchange::Unbind{
          .destination = c.destination, .source = c.source, .routing_key = c.key, .arguments = arguments.view()});
    else
      emit(wire::exchange::Bind{
          .destination = c.destination, .source = c.source, .routing_key = c.key, .arguments = arguments.view()});
  }
  void operator()(const DeclareQueue& c) {
    const EncodedTable arguments(c.arguments, c.numbers, c.flags);
    emit(wire::queue::Declare{.queue = c.name,
                              .passive = c.passive,
                              .durable = c.durable,
                              .exclusive = c.exclusive,
                              .auto_delete = c.auto_delete,
                              .arguments = arguments.view()});
  }
  void operator()(const BindQueue& c) {
    const EncodedTable arguments(c.arguments);
    if (c.remove)
      emit(wire::queue::Unbind{
          .queue = c.queue, .exchange = c.exchange, .routing_key = c.key, .arguments = arguments.view()});
    else
      emit(wire::queue::Bind{
          .queue = c.queue, .exchange = c.exchange, .routing_key = c.key, .arguments = arguments.view()});
  }
  void operator()(const PurgeQueue& c) { emit(wire::queue::Purge{.queue = c.name}); }
  void operator()(const DeleteQueue& c) { emit(wire::queue::Delete{.queue = c.name}); }
  void operator()(const Qos& c) { emit(wire::basic::Qos{.prefetch_count = c.count, .global = c.global}); }
  void operator()(const Consume& c) {
    emit(wire::basic::Consume{.queue = c.queue, .consumer_tag = c.tag, .no_ack = c.no_ack, .exclusive = c.exclusive});
  }
  void operator()(const Cancel& c) { emit(wire::basic::Cancel{.consumer_tag = c.tag}); }
  void operator()(const Publish& c) {
    emit(wire::basic::Publish{.exchange = c.exchange, .routing_key = c.key, .mandatory = c.mandatory});
  }
  void operator()(const Get& c) { emit(wire::basic::Get{.queue = c.queue, .no_ack = c.no_ack}); }
  void operator()(const Ack& c) { emit(wire::basic::Ack{.delivery_tag = c.tag, .multiple = c.multiple}); }
  void operator()(const Reject& c) { emit(wire::basic::Reject{.delivery_tag = c.tag, .requeue = c.requeue}); }
  void operator()(const Nack& c) {
    emit(wire::basic::Nack{.delivery_tag = c.tag, .multiple = c.multiple, .requeue = c.requeue});
  }
  void operator()(const Recover&) { emit(wire::basic::Recover{.requeue = true}); }
  void operator()(const SelectConfirms&) { emit(wire::confirm::Select{}); }
  void operator()(const SelectTransactions&) { emit(wire::tx::Select{}); }
  void operator()(const Commit&) { emit(wire::tx::Commit{}); }
  void operator()(const Rollback&) { emit(wire::tx::Rollback{}); }
};

struct ReplyReader {
  Reply& reply;

  void operator()(const wire::connection::Start& m) { reply.text = base::as_text(m.mechanisms); }
  void operator()(const wire::connection::Tune& m) {
    reply.channel_max = m.channel_max;
    reply.frame_max = m.frame_max;
    reply.heartbeat = m.heartbeat;
  }
  void operator()(const wire::connection::Close& m) { closed(m.reply_code, m.reply_text); }
  void operator()(const wire::channel::Close& m) { closed(m.reply_code, m.reply_text); }
  void operator()(const wire::connection::Blocked& m) { reply.text = m.reason; }
  void operator()(const wire::queue::DeclareOk& m) {
    reply.name = m.queue;
    reply.messages = m.message_count;
    reply.consumers = m.consumer_count;
  }
  void operator()(const wire::queue::PurgeOk& m) { reply.messages = m.message_count; }
  void operator()(const wire::queue::DeleteOk& m) { reply.messages = m.message_count; }
  void operator()(const wire::basic::ConsumeOk& m) { reply.name = m.consumer_tag; }
  void operator()(const wire::basic::CancelOk& m) { reply.name = m.consumer_tag; }
  void operator()(const wire::basic::Cancel& m) { reply.name = m.consumer_tag; }
  void operator()(const wire::basic::Return& m) {
    closed(m.reply_code, m.reply_text);
    routed(m.exchange, m.routing_key);
  }
  void operator()(const wire::basic::Deliver& m) {
    reply.name = m.consumer_tag;
    reply.tag = m.delivery_tag;
    reply.redelivered = m.redelivered;
    routed(m.exchange, m.routing_key);
  }
  void operator()(const wire::basic::GetOk& m) {
    reply.tag = m.delivery_tag;
    reply.redelivered = m.redelivered;
    routed(m.exchange, m.routing_key);
    reply.messages = m.message_count;
  }
  void operator()(const wire::basic::Ack& m) {
    reply.tag = m.delivery_tag;
    reply.multiple = m.multiple;
  }
  void operator()(const wire::basic::Nack& m) {
    reply.tag = m.delivery_tag;
    reply.multiple = m.multiple;
  }
  template <class Method>
  void operator()(const Method&) {}  // without fields that matter, or none a client may get: its caller asks the id

  void closed(uint16_t code, std::string_view text) {
    reply.code = code;
    reply.text = text;
  }
  void routed(std::string_view exchange, std::string_view key) {
    reply.exchange = exchange;
    reply.key = key;
  }
};

class WireDialect final : public Dialect {
 public:
  void write(Buffer& out, uint16_t channel, const Command& command) const override {
    append(out, method_frame_max, [&](base::Writer& writer) { std::visit(Writer{writer, channel}, command); });
  }
  Buffer write_header(Buffer& out, uint16_t channel, uint64_t body_size,
                      const MessageProperties& properties) const override {
    base::FieldTable table;
    for (const auto& [name, value] : properties.headers.value_or(TextTable{})) table.push_back({name, {value}});
    for (const auto& [name, values_in] : properties.lists()) {
      base::FieldArray list;
      for (const std::string& value : values_in) list.push_back({value});
      table.push_back({name, {std::move(list)}});
    }
    if (properties.delay) table.push_back({"x-delay", {*properties.delay}});
    const EncodedTable headers(table);
    wire::Properties values;
    if (properties.content_type) {
      values.content_type = *properties.content_type;
      values.set(wire::Property::content_type);
    }
    if (properties.has_headers()) {
      values.headers = headers.view();
      values.set(wire::Property::headers);
    }
    if (properties.delivery_mode) {
      values.delivery_mode = *properties.delivery_mode;
      values.set(wire::Property::delivery_mode);
    }
    if (properties.priority) {
      values.priority = *properties.priority;
      values.set(wire::Property::priority);
    }
    if (properties.correlation_id) {
      values.correlation_id = *properties.correlation_id;
      values.set(wire::Property::correlation_id);
    }
    if (properties.reply_to) {
      values.reply_to = *properties.reply_to;
      values.set(wire::Property::reply_to);
    }
    if (properties.expiration) {
      values.expiration = *properties.expiration;
      values.set(wire::Property::expiration);
    }
    if (properties.message_id) {
      values.message_id = *properties.message_id;
      values.set(wire::Property::message_id);
    }
    if (properties.user_id) {
      values.user_id = *properties.user_id;
      values.set(wire::Property::user_id);
    }
    Buffer raw;
    append(raw, method_frame_max, [&](base::Writer& writer) { wire::emit_properties(writer, values); });
    append(out, raw.size() + 64,
           [&](base::Writer& writer) { wire::emit_content_header_frame(writer, channel, body_size, raw); });
    return raw;
  }
  void write_body(Buffer& out, uint16_t channel, base::Bytes part) const override {
    append(out, part.size() + wire::frame_overhead, [&](base::Writer& writer) {
      uint8_t* frame = wire::begin_frame(writer, wire::FrameType::body, channel);
      writer.bytes(part);
      wire::end_frame(writer, frame);
    });
  }
  void write_heartbeat(Buffer& out) const override {
    out.insert(out.end(), wire::heartbeat_frame.begin(), wire::heartbeat_frame.end());
  }

  FrameView read_frame(base::Bytes bytes, uint32_t frame_max) const override {
    const wire::Frame frame = wire::parse_frame(bytes, frame_max - static_cast<uint32_t>(wire::frame_overhead));
    if (frame.status == wire::FrameStatus::malformed) fail("amqp: a malformed frame, fault %d", int(frame.fault));
    if (frame.status == wire::FrameStatus::incomplete) return {};
    return {static_cast<uint8_t>(frame.type), frame.channel, frame.payload, frame.size};
  }
  Reply read_method(base::Bytes payload) const override {
    Reply reply;
    reply.id = wire::load_method_id(payload);
    const auto visited = wire::visit_method(payload, ReplyReader{reply});
    if (!visited) fail("amqp: a method does not parse: %s", std::string(visited.error().text).c_str());
    return reply;
  }
  HeaderView read_header(base::Bytes payload) const override {
    const auto header = wire::scan_content_header(payload);
    if (!header) fail("amqp: a content header does not parse: %s", std::string(header.error().text).c_str());
    return {header->body_size, header->raw};
  }

 private:
  template <class Emit>
  static void append(Buffer& out, size_t room, Emit&& emit) {
    const size_t before = out.size();
    out.resize(before + room);
    base::Writer writer(base::MutableBytes(out).subspan(before));
    emit(writer);
    CHECK(writer.ok());
    out.resize(before + writer.size());
  }
};

}  // namespace

const Dialect& wire_dialect() {
  static const WireDialect dialect;
  return dialect;
}

}  // namespace talaria::sim
