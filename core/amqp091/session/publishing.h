// A message on its way in, and what the channel's last one said besides its body.
//
// Publishers repeat themselves: exchange, routing key and properties are mostly those of the message before. Then the
// payloads of method frame and header frame are the same octets but for the body's size, and what was found out about
// them stands: that they are well formed, that the user may, and, while topology is what it was, to which queues they
// lead.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/amqp091/wire/deliver.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/properties.h"
#include "core/broker/message_pool.h"
#include "core/broker/queue_record.h"

namespace talaria::amqp091::session {

class Front {
 public:
  // Longer properties than these are not kept: they hardly come twice, and comparing them is no longer cheap.
  static constexpr size_t properties_kept_max = 256;

  // ---- of the method ----
  bool method_is(wire::Bytes payload) const {
    return payload.size() == method_size_ && std::memcmp(payload.data(), method_.data(), method_size_) == 0;
  }
  void keep_method(wire::Bytes payload, const wire::basic::Publish& method) {
    std::memcpy(method_.data(), payload.data(), payload.size());
    method_size_ = static_cast<uint16_t>(payload.size());
    exchange_size_ = static_cast<uint8_t>(method.exchange.size());
    routing_key_size_ = static_cast<uint8_t>(method.routing_key.size());
    mandatory_ = method.mandatory;
  }
  std::string_view exchange() const { return {text() + names_at, exchange_size_}; }
  std::string_view routing_key() const { return {text() + names_at + exchange_size_ + 1, routing_key_size_}; }
  bool mandatory() const { return mandatory_; }

  // ---- of the content header, but for the body's size ----
  bool header_is(wire::Bytes payload) const {
    constexpr size_t fixed = wire::content_header_fixed_size;
    return properties_size_ != 0 && payload.size() == fixed + properties_size_ &&
           base::load_be32(payload.data()) == uint32_t{wire::basic_class_id} << 16 &&
           std::memcmp(payload.data() + fixed, properties_.data(), properties_size_) == 0;
  }
  void keep_header(const wire::ContentScan& scan, uint64_t expiration_ms) {
    expiration_ms_ = expiration_ms;
    persistent_ = scan.persistent();
    priority_ = scan.priority;
    properties_size_ = 0;
    if (scan.raw.size() > properties_kept_max) return;
    base::copy_short(properties_.data(), scan.raw.data(), scan.raw.size());
    properties_size_ = static_cast<uint16_t>(scan.raw.size());
  }
  // It will not be known again.
  void forget_header() { properties_size_ = 0; }
  wire::Bytes properties() const { return {properties_.data(), properties_size_}; }
  bool persistent() const { return persistent_; }
  uint8_t priority() const { return priority_; }
  uint64_t expiration_ms() const { return expiration_ms_; }

 private:
  // basic.publish: method, ticket, exchange, routing key, bits.
  static constexpr size_t names_at = 4 + 2 + 1;
  static constexpr size_t method_size_max = names_at + wire::shortstr_max + 1 + wire::shortstr_max + 1;

  const char* text() const { return reinterpret_cast<const char*>(method_.data()); }

  uint16_t method_size_ = 0;      // 0: there was none
  uint16_t properties_size_ = 0;  // with their flags; 0: not kept
  uint8_t exchange_size_ = 0;
  uint8_t routing_key_size_ = 0;
  bool mandatory_ = false;
  bool persistent_ = false;
  uint8_t priority_ = 0;
  uint64_t expiration_ms_ = broker::Message::never_expires;
  std::array<uint8_t, properties_kept_max> properties_;
  std::array<uint8_t, method_size_max> method_;
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

  // More routing keys of this message: its headers CC and BCC.
  std::vector<std::string> copies;
  uint64_t delay_ms = 0;        // it goes to an exchange that keeps it that long
  bool through_memory = false;  // it goes to an exchange that remembers

  void keep_method(wire::Bytes payload, const wire::basic::Publish& method) {
    front.keep_method(payload, method);
    routed_epoch = 0;
  }
};

}  // namespace talaria::amqp091::session
