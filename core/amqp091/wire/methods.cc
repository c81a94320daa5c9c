#include "core/amqp091/wire/methods.h"

#include <type_traits>

namespace talaria::amqp091::wire {
namespace {

// Calls `use` with the type of the method that has this id, wrapped; false if none has.
template <size_t i = 0>
bool with_method(uint32_t id, auto&& use) {
  if constexpr (i < std::variant_size_v<AnyMethod>) {
    using M = std::variant_alternative_t<i, AnyMethod>;
    if (id != M::id) return with_method<i + 1>(id, use);
    use(std::type_identity<M>{});
    return true;
  } else {
    return false;
  }
}

}  // namespace

std::expected<AnyMethod, Error> parse_method(Bytes payload) {
  if (payload.size() < 4) return std::unexpected(Error{ReplyCode::frame_error, 0, 0, "method frame without a method"});
  uint32_t id = load_method_id(payload);
  std::expected<AnyMethod, Error> method =
      std::unexpected(Error{ReplyCode::command_invalid, class_of(id), method_of(id), "unknown method"});
  with_method(id, [&]<class M>(std::type_identity<M>) {
    std::expected<M, Error> parsed = parse<M>(payload);
    if (parsed)
      method = *parsed;
    else
      method = std::unexpected(parsed.error());
  });
  return method;
}

std::string_view method_name(uint32_t id) {
  std::string_view name;
  with_method(id, [&]<class M>(std::type_identity<M>) { name = M::name; });
  return name;
}

}  // namespace talaria::amqp091::wire
