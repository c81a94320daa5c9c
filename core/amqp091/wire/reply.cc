#include "core/amqp091/wire/reply.h"

#include <algorithm>

#include "core/amqp091/wire/utf8.h"

namespace talaria::amqp091::wire {

std::string_view name(ReplyCode code) {
  switch (code) {
    case ReplyCode::success: return "REPLY_SUCCESS";
    case ReplyCode::content_too_large: return "CONTENT_TOO_LARGE";
    case ReplyCode::no_route: return "NO_ROUTE";
    case ReplyCode::no_consumers: return "NO_CONSUMERS";
    case ReplyCode::connection_forced: return "CONNECTION_FORCED";
    case ReplyCode::invalid_path: return "INVALID_PATH";
    case ReplyCode::access_refused: return "ACCESS_REFUSED";
    case ReplyCode::not_found: return "NOT_FOUND";
    case ReplyCode::resource_locked: return "RESOURCE_LOCKED";
    case ReplyCode::precondition_failed: return "PRECONDITION_FAILED";
    case ReplyCode::frame_error: return "FRAME_ERROR";
    case ReplyCode::syntax_error: return "SYNTAX_ERROR";
    case ReplyCode::command_invalid: return "COMMAND_INVALID";
    case ReplyCode::channel_error: return "CHANNEL_ERROR";
    case ReplyCode::unexpected_frame: return "UNEXPECTED_FRAME";
    case ReplyCode::resource_error: return "RESOURCE_ERROR";
    case ReplyCode::not_allowed: return "NOT_ALLOWED";
    case ReplyCode::not_implemented: return "NOT_IMPLEMENTED";
    case ReplyCode::internal_error: return "INTERNAL_ERROR";
  }
  return "UNKNOWN";
}

std::string_view clipped(std::string_view text, size_t octets_max) {
  if (text.size() <= octets_max) return text;
  size_t end = octets_max;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) end--;
  return text.substr(0, end);
}

std::string_view compose_reply_text(std::span<char, shortstr_max> out, const Error& error) {
  char* at = out.data();
  auto append = [&](std::string_view text) {
    size_t room = static_cast<size_t>(out.data() + out.size() - at);
    text = clipped(text, room);
    at = std::copy(text.begin(), text.end(), at);
  };
  append(name(error.code));
  if (!error.text.empty()) {
    append(" - ");
    append(error.text);
  }
  // What a client is told of its own values may be no text; then none of it is taken for one.
  const std::string_view composed{out.data(), static_cast<size_t>(at - out.data())};
  if (!is_utf8(composed))
    std::replace_if(
        out.data(), at, [](char c) { return (c & 0x80) != 0; }, '?');
  return composed;
}

}  // namespace talaria::amqp091::wire
