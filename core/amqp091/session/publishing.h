// A message on its way in, and what the channel's last one said besides its body.
//
// Publishers repeat themselves: exchange, routing key and properties are mostly those of the message before. Then the
// method frame and the header frame are the same octets but for the body's size, and what was found out about them
// stands: that they are well formed, that the user may, and, while topology is what it was, to which queues they lead.
//
//      | method frame, whole                         | header frame, whole                                      |
//      | 1 | channel | size | basic.publish ... | 0xCE | 2 | channel | size | 60 | 0 | body size | raw ... | 0xCE |
//      |<------------------- compared ---------------------------------------->|<--any--->|<---- compared ---->|
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/broker/message_pool.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

// Method and header frame of the last message.
class Front {
 public:
  // Longer properties than these are not kept: they hardly come twice, and comparing them is no longer cheap.
  static constexpr size_t properties_kept_max = 256;

  // Octets of both frames; 0: the header frame is not kept.
  size_t size() const { return size_; }
  // Whether `in`, of size() octets, says the same.
  bool is_said_by(const uint8_t* in) const {
    const size_t upto = body_size_at();
    return std::memcmp(in, octets_.data(), upto) == 0 &&
           std::memcmp(in + upto + 8, octets_.data() + upto + 8, size_ - upto - 8) == 0;
  }
  uint64_t body_size(const uint8_t* in) const { return base::load_be64(in + body_size_at()); }
  // Whether a method's payload is the same.
  bool method_is(wire::Bytes payload) const {
    return payload.size() + wire::frame_overhead == method_size_ &&
           std::memcmp(payload.data(), octets_.data() + wire::frame_header_size, payload.size()) == 0;
  }
  void keep_method(uint16_t channel, wire::Bytes payload, const wire::basic::Publish& method);
  // After the method.
  void keep_header(uint16_t channel, wire::Bytes payload, const wire::ContentScan& scan);

  std::string_view exchange() const { return {text() + names_at, exchange_size_}; }
  std::string_view routing_key() const { return {text() + names_at + exchange_size_ + 1, routing_key_size_}; }
  bool mandatory() const { return mandatory_; }
  // Of the header, when it is kept.
  wire::Bytes properties() const {
    const size_t at = body_size_at() + 8;
    return {octets_.data() + at, size_ - at - 1};
  }
  bool persistent() const { return persistent_; }
  uint8_t priority() const { return priority_; }

 private:
  // basic.publish: method, ticket, exchange, routing key, bits.
  static constexpr size_t names_at = wire::frame_header_size + 4 + 2 + 1;
  static constexpr size_t method_size_max = names_at + wire::shortstr_max + 1 + wire::shortstr_max + 1 + 1;

  const char* text() const { return reinterpret_cast<const char*>(octets_.data()); }
  size_t body_size_at() const { return method_size_ + wire::frame_header_size + 4u; }

  uint16_t method_size_ = 0;  // octets of the frame
  uint16_t size_ = 0;
  uint8_t exchange_size_ = 0;
  uint8_t routing_key_size_ = 0;
  bool mandatory_ = false;
  bool persistent_ = false;
  uint8_t priority_ = 0;
  std::array<uint8_t, method_size_max + wire::content_header_frame_size(properties_kept_max)> octets_;
};

//   idle --basic.publish--> header --content header--> body --last octet--> idle
//                                                        '--no room--> waiting --room--> idle
struct Publishing {
  enum class Stage : uint8_t { idle, header, body, waiting };

  Stage stage = Stage::idle;
  Front front;                                    // of this message or, when idle, of the last one
  std::optional<broker::MessageBuilder> builder;  // body
  broker::Message* message = nullptr;             // waiting: complete, but its queues have no room

  // Where `front`'s message goes, as found when topology had that epoch. 0: not known, or it depends on more than that.
  uint64_t routed_epoch = 0;
  std::vector<broker::QueueRecord*> queues;
};

}  // namespace talaria::amqp091::session
