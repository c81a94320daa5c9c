#include "tests/sim/offences.h"

#include <functional>
#include <vector>

#include "tests/sim/octets.h"

namespace talaria::sim {

namespace {

constexpr unsigned method_frame = 1, header_frame = 2, body_frame = 3, heartbeat_frame = 8;
// What the broker has and clients do not lower.
constexpr unsigned channel_max = 2047;

using Fill = std::function<void(Octets&)>;

Buffer call(uint16_t channel, unsigned class_id, unsigned method_id, const Fill& fill) {
  Octets payload;
  payload.method(class_id, method_id);
  if (fill) fill(payload);
  Buffer out;
  append_frame(out, method_frame, channel, payload.bytes);
  return out;
}

Buffer operator+(Buffer left, const Buffer& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Buffer open(uint16_t channel) {
  return call(channel, 20, 10, [](Octets& out) { out.short_text(""); });
}

Buffer declare_queue(uint16_t channel, const std::string& name, unsigned bits, const Fill& arguments) {
  return call(channel, 50, 10, [&](Octets& out) {
    out.u16(0);
    out.short_text(name);
    out.u8(bits);
    if (arguments)
      arguments(out);
    else
      out.u32(0);
  });
}
constexpr unsigned passive_bit = 1, durable_bit = 2, exclusive_bit = 4;

Buffer declare_exchange(uint16_t channel, const std::string& name, const std::string& type, unsigned bits) {
  return call(channel, 40, 10, [&](Octets& out) {
    out.u16(0);
    out.short_text(name);
    out.short_text(type);
    out.u8(bits);
    out.u32(0);
  });
}

Buffer bind_queue(uint16_t channel, const std::string& queue, const std::string& exchange, const std::string& key) {
  return call(channel, 50, 20, [&](Octets& out) {
    out.u16(0);
    out.short_text(queue);
    out.short_text(exchange);
    out.short_text(key);
    out.u8(0);
    out.u32(0);
  });
}

Buffer consume(uint16_t channel, const std::string& queue, const std::string& tag, bool no_ack) {
  return call(channel, 60, 20, [&](Octets& out) {
    out.u16(0);
    out.short_text(queue);
    out.short_text(tag);
    out.u8(no_ack ? 2 : 0);
    out.u32(0);
  });
}

Buffer publish(uint16_t channel, const std::string& exchange, unsigned bits = 0) {
  return call(channel, 60, 40, [&](Octets& out) {
    out.u16(0);
    out.short_text(exchange);
    out.short_text("nowhere");
    out.u8(bits);
  });
}

Buffer header(uint16_t channel, uint64_t body_size, unsigned flags = 0, const std::string& text = "",
              unsigned class_id = 60) {
  Octets payload;
  payload.u16(class_id);
  payload.u16(0);
  payload.u64(body_size);
  payload.u16(flags);
  if (flags != 0) payload.short_text(text);
  Buffer out;
  append_frame(out, header_frame, channel, payload.bytes);
  return out;
}

Buffer header_with_table(uint16_t channel, const TextTable& headers) {
  Octets payload;
  payload.u16(60);
  payload.u16(0);
  payload.u64(0);
  payload.u16(1u << 13);
  payload.table(headers);
  Buffer out;
  append_frame(out, header_frame, channel, payload.bytes);
  return out;
}

Buffer frame(unsigned type, uint16_t channel, size_t size) {
  Buffer out;
  append_frame(out, type, channel, Buffer(size, 'x'));
  return out;
}

std::string in_vhost(const std::string& what, const std::string& name) { return what + " '" + name + "' in vhost '/'"; }

// An argument of the type for integers, or for texts.
Fill argument(const std::string& name, int32_t value) {
  return [=](Octets& out) { out.table({}, {{name, value}}); };
}
Fill argument(const std::string& name, const std::string& value) {
  return [=](Octets& out) { out.table({{name, value}}); };
}

Offence failed(const std::string& text, Buffer frames) {
  return {406, "PRECONDITION_FAILED - " + text, std::move(frames)};
}
Offence missing(const std::string& text, Buffer frames) { return {404, "NOT_FOUND - no " + text, std::move(frames)}; }
Offence refused(const std::string& text, Buffer frames) { return {403, "ACCESS_REFUSED - " + text, std::move(frames)}; }
Offence bad_argument(uint16_t channel, const std::string& name, const Fill& argument, const std::string& why) {
  return failed("invalid arg '" + name + "' for queue 'bad' in vhost '/': " + why,
                declare_queue(channel, "bad", 0, argument));
}

void add_settlements(std::vector<Offence>& all, const OffendedChannel& channel) {
  const uint16_t c = channel.number;
  const uint64_t tag = channel.delivered + 1'000'000;
  const auto with_tag = [&](unsigned method_id, unsigned bits) {
    return call(c, 60, method_id, [=](Octets& out) {
      out.u64(tag);
      out.u8(bits);
    });
  };
  const std::string text = "unknown delivery tag " + std::to_string(tag);
  all.push_back(failed(text, with_tag(80, 0)));   // ack
  all.push_back(failed(text, with_tag(80, 1)));   // and all before
  all.push_back(failed(text, with_tag(90, 1)));   // reject
  all.push_back(failed(text, with_tag(120, 0)));  // nack
}

void add_missing(std::vector<Offence>& all, uint16_t c) {
  const std::string queue = in_vhost("queue", "nowhere"), exchange = in_vhost("exchange", "nowhere");
  const auto named = [c](unsigned class_id, unsigned method_id) {
    return call(c, class_id, method_id, [](Octets& out) {
      out.u16(0);
      out.short_text("nowhere");
      out.u8(0);
    });
  };
  all.push_back(missing(queue, declare_queue(c, "nowhere", passive_bit, {})));
  all.push_back(missing(queue, consume(c, "nowhere", "nobody", false)));
  all.push_back(missing(queue, named(60, 70)));  // get
  all.push_back(missing(queue, named(50, 30)));  // purge
  all.push_back(missing(queue, bind_queue(c, "nowhere", "amq.topic", "a")));
  all.push_back(missing(exchange, declare_exchange(c, "nowhere", "topic", passive_bit)));
  all.push_back(missing(exchange, publish(c, "nowhere") + header(c, 0)));
}

void add_arguments(std::vector<Offence>& all, uint16_t c) {
  all.push_back(bad_argument(c, "x-max-length", argument("x-max-length", -1), "{value_negative,-1}"));
  all.push_back(bad_argument(c, "x-expires", argument("x-expires", 0), "{value_zero,0}"));
  all.push_back(
      bad_argument(c, "x-message-ttl", argument("x-message-ttl", "soon"), "\"expected integer, got longstr\""));
  all.push_back(bad_argument(c, "x-max-priority", argument("x-max-priority", 256), "{max_value_exceeded,256}"));
  all.push_back(bad_argument(c, "x-overflow", argument("x-overflow", "drop-all"), "invalid_overflow"));
  all.push_back(bad_argument(c, "x-dead-letter-routing-key", argument("x-dead-letter-routing-key", "k"),
                             "routing_key_but_no_dlx_defined"));
  all.push_back(bad_argument(c, "x-single-active-consumer", argument("x-single-active-consumer", 1),
                             "{unacceptable_type,signedint}"));
  all.push_back(
      bad_argument(c, "x-queue-type", argument("x-queue-type", "stream"), "\"unsupported queue type 'stream'\""));
  all.push_back(bad_argument(c, "x-flow-resume", argument("x-flow-resume", 5), "not without x-flow-stop"));
  all.push_back(failed("invalid arg 'x-max-age' for queue 'bad' in vhost '/' of queue type classic",
                       declare_queue(c, "bad", 0, argument("x-max-age", "1h"))));
}

// Keys that are no list, an address outside of the message's, a signature of somebody else, an impossible time, a body
// without end.
void add_messages(std::vector<Offence>& all, const OffendedChannel& channel) {
  const uint16_t c = channel.number;
  constexpr unsigned expiration = 1u << 8, user_id = 1u << 4, reply_to = 1u << 9;
  all.push_back(failed("invalid expiration 'soon': no_integer", publish(c, "") + header(c, 0, expiration, "soon")));
  all.push_back(
      failed("invalid expiration '-5': {value_negative,-5}", publish(c, "") + header(c, 0, expiration, "-5")));
  // Others may be given the right to.
  if (channel.user == "guest")
    all.push_back(failed("user_id property set to 'eve' but authenticated user was '" + channel.user + "'",
                         publish(c, "") + header(c, 0, user_id, "eve")));
  for (const std::string& name : {std::string("CC"), std::string("BCC")})
    all.push_back(failed("invalid message: {unacceptable_type_in_header,\"" + name + "\",longstr}",
                         publish(c, "") + header_with_table(c, {{name, "nowhere"}})));
  const std::string replies = "amq.rabbitmq.reply-to";
  if (channel.replies)
    all.push_back(failed("reply consumer already set", consume(c, replies, "twice", true)));
  else
    all.push_back(failed("fast reply consumer does not exist", publish(c, "") + header(c, 0, reply_to, replies)));
}

// What remembers is asked for no more than it can keep.
void add_memory(std::vector<Offence>& all, const OffendedChannel& channel, const Topology& topology) {
  const uint16_t c = channel.number;
  for (const TopologyExchange& exchange : topology.exchanges) {
    if (!exchange.remembers()) continue;
    const std::string text = in_vhost("exchange", exchange.name);
    if (channel.transactional)
      all.push_back(failed(text + " remembers messages and takes no part in transactions",
                           publish(c, exchange.name) + header(c, 0)));
    all.push_back(failed("cannot bind " + text + " to another exchange: it remembers what is published to it",
                         call(c, 40, 30, [&](Octets& out) {
                           out.u16(0);
                           out.short_text(exchange.name);
                           out.short_text("amq.topic");
                           out.short_text("a");
                           out.u8(0);
                           out.u32(0);
                         })));
  }
}

}  // namespace

Offence draw_offence(Random& random, const OffendedChannel& channel, const Topology& topology) {
  const uint16_t c = channel.number;
  std::vector<Offence> all;
  add_settlements(all, channel);
  add_missing(all, c);
  add_arguments(all, c);
  add_messages(all, channel);
  add_memory(all, channel, topology);
  const std::string queue = random.pick(topology.queues);
  all.push_back(
      failed("inequivalent arg 'durable' for " + in_vhost("queue", queue) + ": received 'true' but current is 'false'",
             declare_queue(c, queue, durable_bit, {})));
  all.push_back({405,
                 "RESOURCE_LOCKED - cannot obtain exclusive access to locked " + in_vhost("queue", queue) +
                     ". It could be originally declared on another connection or the exclusive property value does not "
                     "match that of the original declaration.",
                 declare_queue(c, queue, exclusive_bit, {})});
  all.push_back(failed(
      "inequivalent arg 'type' for " + in_vhost("exchange", "amq.topic") + ": received 'fanout' but current is 'topic'",
      declare_exchange(c, "amq.topic", "fanout", durable_bit)));
  all.push_back(failed("invalid exchange type 'x-nothing'", declare_exchange(c, "bad", "x-nothing", 0)));
  all.push_back(refused("queue name 'amq.mine' contains reserved prefix 'amq.*'", declare_queue(c, "amq.mine", 0, {})));
  all.push_back(refused("exchange name 'amq.mine' contains reserved prefix 'amq.*'",
                        declare_exchange(c, "amq.mine", "topic", 0)));
  all.push_back(refused("operation not permitted on the default exchange", bind_queue(c, queue, "", "k")));
  all.push_back(refused("deletion of system " + in_vhost("exchange", "amq.topic") + " not allowed",
                        call(c, 40, 20, [](Octets& out) {
                          out.u16(0);
                          out.short_text("amq.topic");
                          out.u8(0);
                        })));
  if (channel.transactional)
    all.push_back(failed("cannot switch from tx to confirm mode", call(c, 85, 10, [](Octets& out) { out.u8(0); })));
  else
    all.push_back(failed("channel is not transactional", call(c, 90, random.chance(0.5) ? 20 : 30, {})));
  if (channel.confirms) all.push_back(failed("cannot switch from confirm to tx mode", call(c, 90, 10, {})));
  return random.pick(all);
}

Offence draw_grave_offence(Random& random, uint16_t fresh, bool secrets) {
  const uint16_t c = fresh;
  const Buffer opened = open(c);
  const auto unexpected = [](const std::string& wanted, const std::string& got, Buffer frames) {
    return Offence{505, "UNEXPECTED_FRAME - expected " + wanted + ", got " + got + " frame instead", std::move(frames)};
  };
  const std::string a_method = "method frame", a_header = "content header for class 60", a_body = "content body";
  Buffer bad_end = frame(heartbeat_frame, 0, 0);
  bad_end.back() = 0xcd;
  // Only its header: the broker does not wait for the rest.
  Octets oversize;
  oversize.u8(body_frame);
  oversize.u16(c);
  oversize.u32(0x7fffffff);
  const auto flag = [](unsigned value) { return [=](Octets& out) { out.u8(value); }; };
  std::vector<Offence> all{
      // Methods at the wrong time, of the wrong side, of nobody.
      {503, "COMMAND_INVALID - unexpected method connection.open in connection state running",
       call(0, 10, 40,
            [](Octets& out) {
              out.short_text("/");
              out.short_text("");
              out.u8(0);
            })},
      {504, "CHANNEL_ERROR - unexpected method channel.open in connection state running", open(0)},
      {504, "CHANNEL_ERROR - expected 'channel.open'", call(c, 90, 10, {})},
      {504, "CHANNEL_ERROR - second 'channel.open' seen", opened + opened},
      {503, "COMMAND_INVALID - unexpected method channel.open-ok",
       opened + call(c, 20, 11, [](Octets& out) { out.long_text(""); })},
      {503, "COMMAND_INVALID - unexpected method basic.get-empty",
       opened + call(c, 60, 72, [](Octets& out) { out.short_text(""); })},
      {503, "COMMAND_INVALID - unknown method", opened + call(c, 110, 10, {})},
      {530,
       "NOT_ALLOWED - number of channels opened (" + std::to_string(channel_max + 1) +
           ") has reached the negotiated channel_max (" + std::to_string(channel_max) + ")",
       open(channel_max + 1)},
      {530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'",
       opened + declare_queue(c, "", exclusive_bit, {}) + consume(c, "", "twice", true) +
           consume(c, "", "twice", true)},
      // What nobody has.
      {540, "NOT_IMPLEMENTED - immediate=true", opened + publish(c, "", 2)},
      {540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)",
       opened + call(c, 60, 10,
                     [](Octets& out) {
                       out.u32(5);
                       out.u16(1);
                       out.u8(0);
                     })},
      {540, "NOT_IMPLEMENTED - requeue=false", opened + call(c, 60, 110, flag(0))},
      {540, "NOT_IMPLEMENTED - active=false", opened + call(c, 20, 20, flag(0))},
      // Contents out of place.
      unexpected(a_method, "content header", opened + header(c, 1)),
      unexpected(a_method, "content body", opened + frame(body_frame, c, 1)),
      unexpected(a_header, "content body", opened + publish(c, "") + frame(body_frame, c, 1)),
      unexpected(a_body, "content header", opened + publish(c, "") + header(c, 5) + header(c, 5)),
      unexpected(a_header, "a method", opened + publish(c, "") + publish(c, "")),
      unexpected(a_body, "a method", opened + publish(c, "") + header(c, 5) + frame(body_frame, c, 2) + publish(c, "")),
      {505, "UNEXPECTED_FRAME - content header of a class without content",
       opened + publish(c, "") + header(c, 0, 0, "", 50)},
      {501, "FRAME_ERROR - content body is longer than its header announced",
       opened + publish(c, "") + header(c, 5) + frame(body_frame, c, 6)},
      {502, "SYNTAX_ERROR - unknown property flags", opened + publish(c, "") + header(c, 0, 1u << 1, "x")},
      // Frames that are none, methods that do not fit theirs.
      {501, "FRAME_ERROR - unknown frame type", frame(7, c, 3)},
      {501, "FRAME_ERROR - frame does not end in 0xCE", bad_end},
      {501, "FRAME_ERROR - frame larger than frame_max", oversize.bytes},
      {501, "FRAME_ERROR - heartbeat with a payload", frame(heartbeat_frame, 0, 1)},
      {505, "UNEXPECTED_FRAME - heartbeat on a channel", frame(heartbeat_frame, c, 0)},
      {501, "FRAME_ERROR - frame does not hold its method exactly", opened + call(c, 60, 80, flag(0))},
      {501, "FRAME_ERROR - Malformed UTF-8 in shortstr", opened + declare_queue(c, "\xff\xfe", passive_bit, {})},
      {501, "FRAME_ERROR - method frame without a method", opened + frame(method_frame, c, 2)},
      {502, "SYNTAX_ERROR - malformed field table",
       opened + declare_queue(c, "bad", 0,
                              [](Octets& out) {
                                out.u32(4);
                                out.short_text("n");
                                out.u8('?');
                                out.u8(0);
                              })},
  };
  if (secrets)
    all.push_back({530, "NOT_ALLOWED - New secret was refused by one of the backends", call(0, 10, 70, [](Octets& out) {
                     out.long_text("wrong");
                     out.short_text("another day");
                   })});
  return random.pick(all);
}

}  // namespace talaria::sim
