#include "core/amqp091/wire/frame.h"

#include <algorithm>

namespace talaria::amqp091::wire {

FrameFault inspect_unusual_frame(uint8_t type, uint16_t channel, uint32_t payload_size, uint32_t frame_max) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::heartbeat:
      if (payload_size != 0) return FrameFault::heartbeat_payload;
      if (channel != 0) return FrameFault::heartbeat_channel;
      return FrameFault::none;
    case FrameType::method:
    case FrameType::header:
    case FrameType::body: return payload_size > frame_max ? FrameFault::oversize : FrameFault::none;
  }
  return FrameFault::unknown_type;
}

Error error_of(FrameFault fault) {
  switch (fault) {
    case FrameFault::none: break;
    case FrameFault::unknown_type: return {ReplyCode::frame_error, 0, 0, "unknown frame type"};
    case FrameFault::oversize: return {ReplyCode::frame_error, 0, 0, "frame larger than frame_max"};
    case FrameFault::bad_end: return {ReplyCode::frame_error, 0, 0, "frame does not end in 0xCE"};
    case FrameFault::heartbeat_payload: return {ReplyCode::frame_error, 0, 0, "heartbeat with a payload"};
    case FrameFault::heartbeat_channel: return {ReplyCode::unexpected_frame, 0, 0, "heartbeat on a channel"};
  }
  return {ReplyCode::internal_error, 0, 0, "no fault in this frame"};
}

Greeting recognise_greeting(Bytes first) {
  std::string_view text = base::as_text(first.first(std::min<size_t>(first.size(), protocol_header.size())));
  auto may_become = [&](std::string_view opening) {
    return text.substr(0, opening.size()) == opening.substr(0, text.size());
  };
  using namespace std::string_view_literals;
  if (may_become("AMQP"sv)) {
    if (text.size() < protocol_header.size()) return Greeting::incomplete;
    bool ours = text == "AMQP\x00\x00\x09\x01"sv || text == "AMQP\x01\x01\x00\x09"sv;
    return ours ? Greeting::amqp091 : Greeting::other_amqp;
  }
  if (may_become("GET "sv)) return text.size() < 4 ? Greeting::incomplete : Greeting::http;
  if (may_become("\x16\x03"sv)) return text.size() < 2 ? Greeting::incomplete : Greeting::tls;
  return Greeting::unknown;
}

}  // namespace talaria::amqp091::wire
