#include "core/amqp091/wire/methods.h"

namespace talaria::amqp091::wire {

Error detail::unknown_method(Bytes payload) {
  if (payload.size() < 4) return {ReplyCode::frame_error, 0, 0, "method frame without a method"};
  const uint32_t id = load_method_id(payload);
  return {ReplyCode::command_invalid, class_of(id), method_of(id), "unknown method"};
}

std::expected<void, Error> check_method(Bytes payload) {
  return visit_method(payload, [](const auto&) {});
}

std::string_view method_name(uint32_t id) {
  std::string_view name;
  detail::with_method_type(Methods{}, id, [&]<class M>(std::type_identity<M>) { name = M::name; });
  return name;
}

}  // namespace talaria::amqp091::wire
