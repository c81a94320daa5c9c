// The sentences clients know, word for word as RabbitMQ writes them, because programs look for them. The front end puts
// the code's name before them ("PRECONDITION_FAILED - ").
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/broker/requests.h"

namespace talaria::control {

// "queue 'q' in vhost '/'"
inline std::string resource(std::string_view kind, std::string_view name, std::string_view vhost) {
  std::string out(kind);
  out.append(" '").append(name).append("' in vhost '").append(vhost).append("'");
  return out;
}
inline std::string exchange_text(std::string_view name, std::string_view vhost) {
  return resource("exchange", name, vhost);
}
inline std::string queue_text(std::string_view name, std::string_view vhost) { return resource("queue", name, vhost); }

inline broker::Refusal access_refused(std::string text) {
  return {broker::RefusalReason::access_refused, std::move(text)};
}
inline broker::Refusal not_found(const std::string& what) { return {broker::RefusalReason::not_found, "no " + what}; }
inline broker::Refusal precondition_failed(std::string text) {
  return {broker::RefusalReason::precondition_failed, std::move(text)};
}
inline broker::Refusal not_allowed(std::string text) { return {broker::RefusalReason::not_allowed, std::move(text)}; }
inline broker::Refusal resource_locked(const std::string& queue) {
  return {broker::RefusalReason::resource_locked,
          "cannot obtain exclusive access to locked " + queue +
              ". It could be originally declared on another connection or the exclusive property value does not match "
              "that of the original declaration."};
}

}  // namespace talaria::control
