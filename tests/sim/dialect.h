// AMQP 0-9-1 as the simulator's clients write and read it, as values: commands that a client sends, replies that it
// gets. There are two codecs for them. `wire` uses the broker's own; `hand` writes every octet itself, from the
// specification. Half of the clients use each, so that a mistake of the codec does not cancel itself out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/bytes.h"

namespace talaria::sim {

using Buffer = std::vector<uint8_t>;
// Text values under names: all that the simulated messages' headers and bindings use.
using TextTable = std::vector<std::pair<std::string, std::string>>;

using NumberTable = std::vector<std::pair<std::string, int64_t>>;
using ListTable = std::vector<std::pair<std::string, std::vector<std::string>>>;
using FlagTable = std::vector<std::pair<std::string, bool>>;

// Consumed from and named as reply-to for direct replies.
inline constexpr const char* reply_queue = "amq.rabbitmq.reply-to";

// ---- what a client sends --------------------------------------------------------------------------------------------

struct StartOk {
  std::string user, password;
};
struct TuneOk {
  uint16_t channel_max = 0;
  uint32_t frame_max = 0;
  uint16_t heartbeat = 0;
};
struct OpenVhost {
  std::string name;
};
struct UpdateSecret {
  std::string secret, reason;
};
struct CloseConnection {};
struct ConnectionCloseOk {};
struct OpenChannel {};
struct CloseChannel {};
struct ChannelCloseOk {};
struct DeclareExchange {
  std::string name, type;
  bool passive = false, durable = false, auto_delete = false;
  TextTable arguments = {};
  NumberTable numbers = {};  // arguments, too
  FlagTable flags = {};
};
struct DeleteExchange {
  std::string name;
};
struct BindExchange {
  std::string destination, source, key;
  TextTable arguments;
  bool remove = false;
};
struct DeclareQueue {
  std::string name;
  bool passive = false, durable = false, exclusive = false, auto_delete = false;
  TextTable arguments = {};
  NumberTable numbers = {};  // arguments, too
  FlagTable flags = {};
};
struct BindQueue {
  std::string queue, exchange, key;
  TextTable arguments;
  bool remove = false;
};
struct PurgeQueue {
  std::string name;
};
struct DeleteQueue {
  std::string name;
};
struct Qos {
  uint16_t count = 0;
  bool global = false;
};
struct Consume {
  std::string queue, tag;
  bool no_ack = false, exclusive = false;
};
struct Cancel {
  std::string tag;
};
struct Publish {
  std::string exchange, key;
  bool mandatory = false;
};
struct Get {
  std::string queue;
  bool no_ack = false;
};
struct Ack {
  uint64_t tag = 0;
  bool multiple = false;
};
struct Reject {
  uint64_t tag = 0;
  bool requeue = false;
};
struct Nack {
  uint64_t tag = 0;
  bool multiple = false, requeue = false;
};
struct Recover {};  // requeue = true, the only kind there is
struct SelectConfirms {};
struct SelectTransactions {};
struct Commit {};
struct Rollback {};

using Command = std::variant<StartOk, TuneOk, OpenVhost, UpdateSecret, CloseConnection, ConnectionCloseOk, OpenChannel,
                             CloseChannel, ChannelCloseOk, DeclareExchange, DeleteExchange, BindExchange, DeclareQueue,
                             BindQueue, PurgeQueue, DeleteQueue, Qos, Consume, Cancel, Publish, Get, Ack, Reject, Nack,
                             Recover, SelectConfirms, SelectTransactions, Commit, Rollback>;

// The properties the simulated messages have; what else could stand there the broker passes on unread.
struct MessageProperties {
  std::optional<std::string> message_id, content_type, expiration;
  std::optional<std::string> reply_to, correlation_id, user_id;
  std::optional<uint8_t> delivery_mode, priority;
  std::optional<TextTable> headers;
  // The headers CC and BCC, behind the others.
  std::optional<std::vector<std::string>> copies, blind_copies;
  // The header x-delay, behind these.
  std::optional<int32_t> delay;

  bool has_headers() const { return headers || copies || blind_copies || delay; }
  ListTable lists() const {
    ListTable all;
    if (copies) all.emplace_back("CC", *copies);
    if (blind_copies) all.emplace_back("BCC", *blind_copies);
    return all;
  }
};

// ---- what it gets ---------------------------------------------------------------------------------------------------

constexpr uint32_t method_of(uint16_t class_id, uint16_t method_id) { return uint32_t{class_id} << 16 | method_id; }

namespace method {
inline constexpr uint32_t connection_start = method_of(10, 10), connection_tune = method_of(10, 30),
                          connection_open_ok = method_of(10, 41), connection_close = method_of(10, 50),
                          connection_close_ok = method_of(10, 51), connection_blocked = method_of(10, 60),
                          connection_unblocked = method_of(10, 61), connection_update_secret_ok = method_of(10, 71),
                          channel_open_ok = method_of(20, 11), channel_close = method_of(20, 40),
                          channel_close_ok = method_of(20, 41), exchange_declare_ok = method_of(40, 11),
                          exchange_delete_ok = method_of(40, 21), exchange_bind_ok = method_of(40, 31),
                          exchange_unbind_ok = method_of(40, 51), queue_declare_ok = method_of(50, 11),
                          queue_bind_ok = method_of(50, 21), queue_purge_ok = method_of(50, 31),
                          queue_delete_ok = method_of(50, 41), queue_unbind_ok = method_of(50, 51),
                          basic_qos_ok = method_of(60, 11), basic_consume_ok = method_of(60, 21),
                          basic_cancel = method_of(60, 30), basic_cancel_ok = method_of(60, 31),
                          basic_return = method_of(60, 50), basic_deliver = method_of(60, 60),
                          basic_get_ok = method_of(60, 71), basic_get_empty = method_of(60, 72),
                          basic_ack = method_of(60, 80), basic_recover_ok = method_of(60, 111),
                          basic_nack = method_of(60, 120), confirm_select_ok = method_of(85, 11),
                          tx_select_ok = method_of(90, 11), tx_commit_ok = method_of(90, 21),
                          tx_rollback_ok = method_of(90, 31);
}

// One method from the broker; which fields mean something depends on it.
struct Reply {
  uint32_t id = 0;
  uint16_t code = 0;  // close, return
  std::string text;   // close, return, blocked; the mechanisms of start
  std::string name;   // a queue or a consumer tag
  std::string exchange, key;
  uint64_t tag = 0;
  bool multiple = false, redelivered = false;
  uint32_t messages = 0, consumers = 0;
  uint16_t channel_max = 0, heartbeat = 0;
  uint32_t frame_max = 0;

  bool has_content() const {
    return id == method::basic_return || id == method::basic_deliver || id == method::basic_get_ok;
  }
};

class Dialect {
 public:
  virtual ~Dialect() = default;

  // Appends the whole method frame.
  virtual void write(Buffer& out, uint16_t channel, const Command& command) const = 0;
  // Appends the whole content header frame, and gives the properties as they stand in it.
  virtual Buffer write_header(Buffer& out, uint16_t channel, uint64_t body_size,
                              const MessageProperties& properties) const = 0;
  virtual void write_body(Buffer& out, uint16_t channel, base::Bytes part) const = 0;
  virtual void write_heartbeat(Buffer& out) const = 0;

  struct FrameView {
    uint8_t type = 0;
    uint16_t channel = 0;
    base::Bytes payload;
    size_t size = 0;  // of the whole frame; 0: it is not all there
  };
  // Throws Failure when it cannot be a frame.
  virtual FrameView read_frame(base::Bytes bytes, uint32_t frame_max) const = 0;
  // A method frame's payload. Throws Failure when it is none that a client may get, or malformed.
  virtual Reply read_method(base::Bytes payload) const = 0;
  struct HeaderView {
    uint64_t body_size = 0;
    base::Bytes properties;
  };
  virtual HeaderView read_header(base::Bytes payload) const = 0;
};

const Dialect& wire_dialect();
const Dialect& hand_dialect();

}  // namespace talaria::sim
