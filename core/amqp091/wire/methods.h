// Every method of AMQP 0-9-1 with RabbitMQ's extensions, in the order of the specification: the list is the reference.
//
// Drawings name the fields in the order of the wire: `u16` a number, `s` a short string, `S` a long string, `T` a field
// table; bits that share an octet are drawn as they lie in it, the highest first. Extensions are marked (+).
//
// method.h says how such a struct is parsed and emitted. On the way of a message call `parse<basic::Publish>` and its
// kind directly; `visit_method` at the end is for everything else. Every member has a default, so that a literal names
// only what it means: `queue::PurgeOk{.message_count = 3}`.
#pragma once

#include <expected>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "core/amqp091/wire/method.h"

namespace talaria::amqp091::wire {

namespace connection {

// | version-major u8 | version-minor u8 | server-properties T | mechanisms S | locales S |
struct Start {
  static constexpr uint32_t id = id_of(10, 10);
  static constexpr std::string_view name = "connection.start";
  uint8_t version_major = 0, version_minor = 9;
  Table server_properties{};
  Bytes mechanisms{}, locales{};
  static auto fields(auto& m) {
    return std::tie(m.version_major, m.version_minor, m.server_properties, m.mechanisms, m.locales);
  }
};

// | client-properties T | mechanism s | response S | locale s |
struct StartOk {
  static constexpr uint32_t id = id_of(10, 11);
  static constexpr std::string_view name = "connection.start-ok";
  Table client_properties{};
  std::string_view mechanism{};
  Bytes response{};
  std::string_view locale{};
  static auto fields(auto& m) { return std::tie(m.client_properties, m.mechanism, m.response, m.locale); }
};

// | challenge S |
struct Secure {
  static constexpr uint32_t id = id_of(10, 20);
  static constexpr std::string_view name = "connection.secure";
  Bytes challenge{};
  static auto fields(auto& m) { return std::tie(m.challenge); }
};

// | response S |
struct SecureOk {
  static constexpr uint32_t id = id_of(10, 21);
  static constexpr std::string_view name = "connection.secure-ok";
  Bytes response{};
  static auto fields(auto& m) { return std::tie(m.response); }
};

// | channel-max u16 | frame-max u32 | heartbeat u16 |
struct Tune {
  static constexpr uint32_t id = id_of(10, 30);
  static constexpr std::string_view name = "connection.tune";
  uint16_t channel_max = 0;
  uint32_t frame_max = 0;
  uint16_t heartbeat = 0;
  static auto fields(auto& m) { return std::tie(m.channel_max, m.frame_max, m.heartbeat); }
};

// | channel-max u16 | frame-max u32 | heartbeat u16 |
struct TuneOk {
  static constexpr uint32_t id = id_of(10, 31);
  static constexpr std::string_view name = "connection.tune-ok";
  uint16_t channel_max = 0;
  uint32_t frame_max = 0;
  uint16_t heartbeat = 0;
  static auto fields(auto& m) { return std::tie(m.channel_max, m.frame_max, m.heartbeat); }
};

// | virtual-host s | reserved s | 0 |
struct Open {
  static constexpr uint32_t id = id_of(10, 40);
  static constexpr std::string_view name = "connection.open";
  std::string_view virtual_host{};
  static auto fields(auto& m) { return std::tie(m.virtual_host, reserved_shortstr, reserved_bit); }
};

// | reserved s |
struct OpenOk {
  static constexpr uint32_t id = id_of(10, 41);
  static constexpr std::string_view name = "connection.open-ok";
  static auto fields(auto&) { return std::tie(reserved_shortstr); }
};

// | reply-code u16 | reply-text s | class-id u16 | method-id u16 |
struct Close {
  static constexpr uint32_t id = id_of(10, 50);
  static constexpr std::string_view name = "connection.close";
  uint16_t reply_code = 0;
  std::string_view reply_text{};
  uint16_t class_id = 0, method_id = 0;
  static auto fields(auto& m) { return std::tie(m.reply_code, m.reply_text, m.class_id, m.method_id); }
};

struct CloseOk : NoFields {
  static constexpr uint32_t id = id_of(10, 51);
  static constexpr std::string_view name = "connection.close-ok";
};

// | reason s |  (+)
struct Blocked {
  static constexpr uint32_t id = id_of(10, 60);
  static constexpr std::string_view name = "connection.blocked";
  std::string_view reason{};
  static auto fields(auto& m) { return std::tie(m.reason); }
};

// (+)
struct Unblocked : NoFields {
  static constexpr uint32_t id = id_of(10, 61);
  static constexpr std::string_view name = "connection.unblocked";
};

// | new-secret S | reason s |  (+)
struct UpdateSecret {
  static constexpr uint32_t id = id_of(10, 70);
  static constexpr std::string_view name = "connection.update-secret";
  Bytes new_secret{};
  std::string_view reason{};
  static auto fields(auto& m) { return std::tie(m.new_secret, m.reason); }
};

// (+)
struct UpdateSecretOk : NoFields {
  static constexpr uint32_t id = id_of(10, 71);
  static constexpr std::string_view name = "connection.update-secret-ok";
};

}  // namespace connection

namespace channel {

// | reserved s |
struct Open {
  static constexpr uint32_t id = id_of(20, 10);
  static constexpr std::string_view name = "channel.open";
  static auto fields(auto&) { return std::tie(reserved_shortstr); }
};

// | reserved S |
struct OpenOk {
  static constexpr uint32_t id = id_of(20, 11);
  static constexpr std::string_view name = "channel.open-ok";
  static auto fields(auto&) { return std::tie(reserved_longstr); }
};

// | active |
struct Flow {
  static constexpr uint32_t id = id_of(20, 20);
  static constexpr std::string_view name = "channel.flow";
  bool active = false;
  static auto fields(auto& m) { return std::tie(m.active); }
};

// | active |
struct FlowOk {
  static constexpr uint32_t id = id_of(20, 21);
  static constexpr std::string_view name = "channel.flow-ok";
  bool active = false;
  static auto fields(auto& m) { return std::tie(m.active); }
};

// | reply-code u16 | reply-text s | class-id u16 | method-id u16 |
struct Close {
  static constexpr uint32_t id = id_of(20, 40);
  static constexpr std::string_view name = "channel.close";
  uint16_t reply_code = 0;
  std::string_view reply_text{};
  uint16_t class_id = 0, method_id = 0;
  static auto fields(auto& m) { return std::tie(m.reply_code, m.reply_text, m.class_id, m.method_id); }
};

struct CloseOk : NoFields {
  static constexpr uint32_t id = id_of(20, 41);
  static constexpr std::string_view name = "channel.close-ok";
};

}  // namespace channel

namespace access {

// | realm s | read write active passive exclusive |
struct Request {
  static constexpr uint32_t id = id_of(30, 10);
  static constexpr std::string_view name = "access.request";
  std::string_view realm{};
  bool exclusive = false, passive = false, active = false, write = false, read = false;
  static auto fields(auto& m) { return std::tie(m.realm, m.exclusive, m.passive, m.active, m.write, m.read); }
};

// | ticket u16 |
struct RequestOk {
  static constexpr uint32_t id = id_of(30, 11);
  static constexpr std::string_view name = "access.request-ok";
  uint16_t ticket = 0;
  static auto fields(auto& m) { return std::tie(m.ticket); }
};

}  // namespace access

namespace exchange {

// | reserved u16 | exchange s | type s | no-wait internal auto-delete durable passive | arguments T |
struct Declare {
  static constexpr uint32_t id = id_of(40, 10);
  static constexpr std::string_view name = "exchange.declare";
  std::string_view exchange{}, type{};
  bool passive = false, durable = false, auto_delete = false, internal = false, no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.exchange, m.type, m.passive, m.durable, m.auto_delete, m.internal, m.no_wait,
                    m.arguments);
  }
};

struct DeclareOk : NoFields {
  static constexpr uint32_t id = id_of(40, 11);
  static constexpr std::string_view name = "exchange.declare-ok";
};

// | reserved u16 | exchange s | no-wait if-unused |
struct Delete {
  static constexpr uint32_t id = id_of(40, 20);
  static constexpr std::string_view name = "exchange.delete";
  std::string_view exchange{};
  bool if_unused = false, no_wait = false;
  static auto fields(auto& m) { return std::tie(reserved_short, m.exchange, m.if_unused, m.no_wait); }
};

struct DeleteOk : NoFields {
  static constexpr uint32_t id = id_of(40, 21);
  static constexpr std::string_view name = "exchange.delete-ok";
};

// | reserved u16 | destination s | source s | routing-key s | no-wait | arguments T |  (+)
struct Bind {
  static constexpr uint32_t id = id_of(40, 30);
  static constexpr std::string_view name = "exchange.bind";
  std::string_view destination{}, source{}, routing_key{};
  bool no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.destination, m.source, m.routing_key, m.no_wait, m.arguments);
  }
};

// (+)
struct BindOk : NoFields {
  static constexpr uint32_t id = id_of(40, 31);
  static constexpr std::string_view name = "exchange.bind-ok";
};

// | reserved u16 | destination s | source s | routing-key s | no-wait | arguments T |  (+)
struct Unbind {
  static constexpr uint32_t id = id_of(40, 40);
  static constexpr std::string_view name = "exchange.unbind";
  std::string_view destination{}, source{}, routing_key{};
  bool no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.destination, m.source, m.routing_key, m.no_wait, m.arguments);
  }
};

// (+)
struct UnbindOk : NoFields {
  static constexpr uint32_t id = id_of(40, 51);
  static constexpr std::string_view name = "exchange.unbind-ok";
};

}  // namespace exchange

namespace queue {

// | reserved u16 | queue s | no-wait auto-delete exclusive durable passive | arguments T |
struct Declare {
  static constexpr uint32_t id = id_of(50, 10);
  static constexpr std::string_view name = "queue.declare";
  std::string_view queue{};
  bool passive = false, durable = false, exclusive = false, auto_delete = false, no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.queue, m.passive, m.durable, m.exclusive, m.auto_delete, m.no_wait, m.arguments);
  }
};

// | queue s | message-count u32 | consumer-count u32 |
struct DeclareOk {
  static constexpr uint32_t id = id_of(50, 11);
  static constexpr std::string_view name = "queue.declare-ok";
  std::string_view queue{};
  uint32_t message_count = 0, consumer_count = 0;
  static auto fields(auto& m) { return std::tie(m.queue, m.message_count, m.consumer_count); }
};

// | reserved u16 | queue s | exchange s | routing-key s | no-wait | arguments T |
struct Bind {
  static constexpr uint32_t id = id_of(50, 20);
  static constexpr std::string_view name = "queue.bind";
  std::string_view queue{}, exchange{}, routing_key{};
  bool no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.queue, m.exchange, m.routing_key, m.no_wait, m.arguments);
  }
};

struct BindOk : NoFields {
  static constexpr uint32_t id = id_of(50, 21);
  static constexpr std::string_view name = "queue.bind-ok";
};

// | reserved u16 | queue s | no-wait |
struct Purge {
  static constexpr uint32_t id = id_of(50, 30);
  static constexpr std::string_view name = "queue.purge";
  std::string_view queue{};
  bool no_wait = false;
  static auto fields(auto& m) { return std::tie(reserved_short, m.queue, m.no_wait); }
};

// | message-count u32 |
struct PurgeOk {
  static constexpr uint32_t id = id_of(50, 31);
  static constexpr std::string_view name = "queue.purge-ok";
  uint32_t message_count = 0;
  static auto fields(auto& m) { return std::tie(m.message_count); }
};

// | reserved u16 | queue s | no-wait if-empty if-unused |
struct Delete {
  static constexpr uint32_t id = id_of(50, 40);
  static constexpr std::string_view name = "queue.delete";
  std::string_view queue{};
  bool if_unused = false, if_empty = false, no_wait = false;
  static auto fields(auto& m) { return std::tie(reserved_short, m.queue, m.if_unused, m.if_empty, m.no_wait); }
};

// | message-count u32 |
struct DeleteOk {
  static constexpr uint32_t id = id_of(50, 41);
  static constexpr std::string_view name = "queue.delete-ok";
  uint32_t message_count = 0;
  static auto fields(auto& m) { return std::tie(m.message_count); }
};

// | reserved u16 | queue s | exchange s | routing-key s | arguments T |
struct Unbind {
  static constexpr uint32_t id = id_of(50, 50);
  static constexpr std::string_view name = "queue.unbind";
  std::string_view queue{}, exchange{}, routing_key{};
  Table arguments{};
  static auto fields(auto& m) { return std::tie(reserved_short, m.queue, m.exchange, m.routing_key, m.arguments); }
};

struct UnbindOk : NoFields {
  static constexpr uint32_t id = id_of(50, 51);
  static constexpr std::string_view name = "queue.unbind-ok";
};

}  // namespace queue

namespace basic {

// | prefetch-size u32 | prefetch-count u16 | global |
struct Qos {
  static constexpr uint32_t id = id_of(60, 10);
  static constexpr std::string_view name = "basic.qos";
  uint32_t prefetch_size = 0;
  uint16_t prefetch_count = 0;
  bool global = false;
  static auto fields(auto& m) { return std::tie(m.prefetch_size, m.prefetch_count, m.global); }
};

struct QosOk : NoFields {
  static constexpr uint32_t id = id_of(60, 11);
  static constexpr std::string_view name = "basic.qos-ok";
};

// | reserved u16 | queue s | consumer-tag s | no-wait exclusive no-ack no-local | arguments T |
struct Consume {
  static constexpr uint32_t id = id_of(60, 20);
  static constexpr std::string_view name = "basic.consume";
  std::string_view queue{}, consumer_tag{};
  bool no_local = false, no_ack = false, exclusive = false, no_wait = false;
  Table arguments{};
  static auto fields(auto& m) {
    return std::tie(reserved_short, m.queue, m.consumer_tag, m.no_local, m.no_ack, m.exclusive, m.no_wait, m.arguments);
  }
};

// | consumer-tag s |
struct ConsumeOk {
  static constexpr uint32_t id = id_of(60, 21);
  static constexpr std::string_view name = "basic.consume-ok";
  std::string_view consumer_tag{};
  static auto fields(auto& m) { return std::tie(m.consumer_tag); }
};

// | consumer-tag s | no-wait |
struct Cancel {
  static constexpr uint32_t id = id_of(60, 30);
  static constexpr std::string_view name = "basic.cancel";
  std::string_view consumer_tag{};
  bool no_wait = false;
  static auto fields(auto& m) { return std::tie(m.consumer_tag, m.no_wait); }
};

// | consumer-tag s |
struct CancelOk {
  static constexpr uint32_t id = id_of(60, 31);
  static constexpr std::string_view name = "basic.cancel-ok";
  std::string_view consumer_tag{};
  static auto fields(auto& m) { return std::tie(m.consumer_tag); }
};

// | reserved u16 | exchange s | routing-key s | immediate mandatory |
struct Publish {
  static constexpr uint32_t id = id_of(60, 40);
  static constexpr std::string_view name = "basic.publish";
  std::string_view exchange{}, routing_key{};
  bool mandatory = false, immediate = false;
  static auto fields(auto& m) { return std::tie(reserved_short, m.exchange, m.routing_key, m.mandatory, m.immediate); }
};

// | reply-code u16 | reply-text s | exchange s | routing-key s |
struct Return {
  static constexpr uint32_t id = id_of(60, 50);
  static constexpr std::string_view name = "basic.return";
  uint16_t reply_code = 0;
  std::string_view reply_text{}, exchange{}, routing_key{};
  static auto fields(auto& m) { return std::tie(m.reply_code, m.reply_text, m.exchange, m.routing_key); }
};

// | consumer-tag s | delivery-tag u64 | redelivered | exchange s | routing-key s |
struct Deliver {
  static constexpr uint32_t id = id_of(60, 60);
  static constexpr std::string_view name = "basic.deliver";
  std::string_view consumer_tag{};
  uint64_t delivery_tag = 0;
  bool redelivered = false;
  std::string_view exchange{}, routing_key{};
  static auto fields(auto& m) {
    return std::tie(m.consumer_tag, m.delivery_tag, m.redelivered, m.exchange, m.routing_key);
  }
};

// | reserved u16 | queue s | no-ack |
struct Get {
  static constexpr uint32_t id = id_of(60, 70);
  static constexpr std::string_view name = "basic.get";
  std::string_view queue{};
  bool no_ack = false;
  static auto fields(auto& m) { return std::tie(reserved_short, m.queue, m.no_ack); }
};

// | delivery-tag u64 | redelivered | exchange s | routing-key s | message-count u32 |
struct GetOk {
  static constexpr uint32_t id = id_of(60, 71);
  static constexpr std::string_view name = "basic.get-ok";
  uint64_t delivery_tag = 0;
  bool redelivered = false;
  std::string_view exchange{}, routing_key{};
  uint32_t message_count = 0;
  static auto fields(auto& m) {
    return std::tie(m.delivery_tag, m.redelivered, m.exchange, m.routing_key, m.message_count);
  }
};

// | reserved s |
struct GetEmpty {
  static constexpr uint32_t id = id_of(60, 72);
  static constexpr std::string_view name = "basic.get-empty";
  static auto fields(auto&) { return std::tie(reserved_shortstr); }
};

// | delivery-tag u64 | multiple |
struct Ack {
  static constexpr uint32_t id = id_of(60, 80);
  static constexpr std::string_view name = "basic.ack";
  uint64_t delivery_tag = 0;
  bool multiple = false;
  static auto fields(auto& m) { return std::tie(m.delivery_tag, m.multiple); }
};

// | delivery-tag u64 | requeue |
struct Reject {
  static constexpr uint32_t id = id_of(60, 90);
  static constexpr std::string_view name = "basic.reject";
  uint64_t delivery_tag = 0;
  bool requeue = false;
  static auto fields(auto& m) { return std::tie(m.delivery_tag, m.requeue); }
};

// | requeue |
struct RecoverAsync {
  static constexpr uint32_t id = id_of(60, 100);
  static constexpr std::string_view name = "basic.recover-async";
  bool requeue = false;
  static auto fields(auto& m) { return std::tie(m.requeue); }
};

// | requeue |
struct Recover {
  static constexpr uint32_t id = id_of(60, 110);
  static constexpr std::string_view name = "basic.recover";
  bool requeue = false;
  static auto fields(auto& m) { return std::tie(m.requeue); }
};

struct RecoverOk : NoFields {
  static constexpr uint32_t id = id_of(60, 111);
  static constexpr std::string_view name = "basic.recover-ok";
};

// | delivery-tag u64 | requeue multiple |  (+)
struct Nack {
  static constexpr uint32_t id = id_of(60, 120);
  static constexpr std::string_view name = "basic.nack";
  uint64_t delivery_tag = 0;
  bool multiple = false, requeue = false;
  static auto fields(auto& m) { return std::tie(m.delivery_tag, m.multiple, m.requeue); }
};

}  // namespace basic

namespace confirm {

// | no-wait |  (+)
struct Select {
  static constexpr uint32_t id = id_of(85, 10);
  static constexpr std::string_view name = "confirm.select";
  bool no_wait = false;
  static auto fields(auto& m) { return std::tie(m.no_wait); }
};

// (+)
struct SelectOk : NoFields {
  static constexpr uint32_t id = id_of(85, 11);
  static constexpr std::string_view name = "confirm.select-ok";
};

}  // namespace confirm

namespace tx {

struct Select : NoFields {
  static constexpr uint32_t id = id_of(90, 10);
  static constexpr std::string_view name = "tx.select";
};

struct SelectOk : NoFields {
  static constexpr uint32_t id = id_of(90, 11);
  static constexpr std::string_view name = "tx.select-ok";
};

struct Commit : NoFields {
  static constexpr uint32_t id = id_of(90, 20);
  static constexpr std::string_view name = "tx.commit";
};

struct CommitOk : NoFields {
  static constexpr uint32_t id = id_of(90, 21);
  static constexpr std::string_view name = "tx.commit-ok";
};

struct Rollback : NoFields {
  static constexpr uint32_t id = id_of(90, 30);
  static constexpr std::string_view name = "tx.rollback";
};

struct RollbackOk : NoFields {
  static constexpr uint32_t id = id_of(90, 31);
  static constexpr std::string_view name = "tx.rollback-ok";
};

}  // namespace tx

// ---- all of them ----------------------------------------------------------------------------------------------------

template <class... M>
struct MethodList {
  static constexpr size_t size = sizeof...(M);
};

// A list and no variant: nobody keeps a method, and a variant of 66 costs every file that includes it seconds to
// compile.
using Methods =
    MethodList<connection::Start, connection::StartOk, connection::Secure, connection::SecureOk, connection::Tune,
               connection::TuneOk, connection::Open, connection::OpenOk, connection::Close, connection::CloseOk,
               connection::Blocked, connection::Unblocked, connection::UpdateSecret, connection::UpdateSecretOk,
               channel::Open, channel::OpenOk, channel::Flow, channel::FlowOk, channel::Close, channel::CloseOk,
               access::Request, access::RequestOk, exchange::Declare, exchange::DeclareOk, exchange::Delete,
               exchange::DeleteOk, exchange::Bind, exchange::BindOk, exchange::Unbind, exchange::UnbindOk,
               queue::Declare, queue::DeclareOk, queue::Bind, queue::BindOk, queue::Purge, queue::PurgeOk,
               queue::Delete, queue::DeleteOk, queue::Unbind, queue::UnbindOk, basic::Qos, basic::QosOk, basic::Consume,
               basic::ConsumeOk, basic::Cancel, basic::CancelOk, basic::Publish, basic::Return, basic::Deliver,
               basic::Get, basic::GetOk, basic::GetEmpty, basic::Ack, basic::Reject, basic::RecoverAsync,
               basic::Recover, basic::RecoverOk, basic::Nack, confirm::Select, confirm::SelectOk, tx::Select,
               tx::SelectOk, tx::Commit, tx::CommitOk, tx::Rollback, tx::RollbackOk>;

namespace detail {

// Calls `use` with the type of the method that has this id, wrapped; false if none has.
template <class... M>
bool with_method_type(MethodList<M...>, uint32_t id, auto&& use) {
  return ((id == M::id && (use(std::type_identity<M>{}), true)) || ...);
}

Error unknown_method(Bytes payload);

}  // namespace detail

// For what is not on the way of a message: parses the method, whichever it is, and calls `use` with it. Not called for
// what does not parse: 501 for a malformed method, 503 for one that nobody knows.
std::expected<void, Error> visit_method(Bytes payload, auto&& use) {
  std::expected<void, Error> result;
  bool known = payload.size() >= 4 &&
               detail::with_method_type(Methods{}, load_method_id(payload), [&]<class M>(std::type_identity<M>) {
                 std::expected<M, Error> method = parse<M>(payload);
                 if (method)
                   use(*method);
                 else
                   result = std::unexpected(method.error());
               });
  if (!known) result = std::unexpected(detail::unknown_method(payload));
  return result;
}

// Whether `visit_method` would find a method, for those who wait for one or two only and parse these themselves.
std::expected<void, Error> check_method(Bytes payload);

// `basic.publish`, for logs and error texts; empty if nobody knows it.
std::string_view method_name(uint32_t id);

}  // namespace talaria::amqp091::wire
