// Reply codes: what a broker answers when a peer is wrong, and the limits every peer is held to before it negotiates.
//
// A soft error closes one channel, a hard error the connection (AMQP 0-9-1, section 1.1 and constants). `Error` is what
// every parser of this layer answers with; its text is borrowed, and here always a literal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace talaria::amqp091::wire {

inline constexpr uint32_t frame_min_size = 4096;  // no peer may ask for less; the limit before tune-ok
inline constexpr size_t shortstr_max = 255;       // octets of a short string

enum class ReplyCode : uint16_t {
  success = 200,
  content_too_large = 311,
  no_route = 312,
  no_consumers = 313,
  connection_forced = 320,
  invalid_path = 402,
  access_refused = 403,
  not_found = 404,
  resource_locked = 405,
  precondition_failed = 406,
  frame_error = 501,
  syntax_error = 502,
  command_invalid = 503,
  channel_error = 504,
  unexpected_frame = 505,
  resource_error = 506,
  not_allowed = 530,
  not_implemented = 540,
  internal_error = 541,
};

constexpr bool is_hard(ReplyCode code) {
  return code == ReplyCode::connection_forced || code == ReplyCode::invalid_path ||
         static_cast<uint16_t>(code) >= static_cast<uint16_t>(ReplyCode::frame_error);
}

// As clients print and match it: `PRECONDITION_FAILED`.
std::string_view name(ReplyCode code);

struct Error {
  ReplyCode code = ReplyCode::internal_error;
  uint16_t class_id = 0;   // of the method that failed; 0 if no method is to blame
  uint16_t method_id = 0;  // likewise
  std::string_view text;

  bool operator==(const Error&) const = default;
};

// The reply-text of a close, `NOT_FOUND - no queue 'jobs' in vhost '/'`, cut to a short string at a character's border.
std::string_view compose_reply_text(std::span<char, shortstr_max> out, const Error& error);

// `text` cut to at most `octets_max`, never in the middle of a UTF-8 character.
std::string_view clipped(std::string_view text, size_t octets_max = shortstr_max);

}  // namespace talaria::amqp091::wire
