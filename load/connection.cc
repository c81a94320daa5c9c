#include "load/connection.h"

#include <algorithm>

#include "core/amqp091/wire/table.h"
#include "core/base/check.h"
#include "load/routes.h"

namespace talaria::load {

namespace wire = amqp091::wire;

void Connection::on_connected() {
  state_ = State::handshake;
  write(wire::protocol_header);
}

void Connection::on_closed(tcp::CloseReason reason) {
  if (state_ != State::closing && failure_.empty())
    failure_ = "a connection ended: " + std::string(tcp::to_text(reason));
  state_ = State::closed;
}

void Connection::fail(std::string reason) {
  if (failure_.empty()) failure_ = std::move(reason);
  stack_.abort(id_);
}

void Connection::on_own_method(uint16_t channel, base::Bytes payload) {
  switch (wire::load_method_id(payload)) {
    case wire::connection::Start::id: return start();
    case wire::connection::Tune::id: return tune(payload);
    case wire::connection::OpenOk::id: state_ = State::opening_channel; return send(the_channel, wire::channel::Open{});
    case wire::channel::OpenOk::id: state_ = State::open; return;
    case wire::connection::Blocked::id:
      blocked_ = true;
      blocked_times_++;
      return;
    case wire::connection::Unblocked::id: blocked_ = false; return;
    case wire::connection::Close::id: {
      const auto close = wire::parse<wire::connection::Close>(payload);
      return fail(close ? std::string(close->reply_text) : "the broker closed a connection");
    }
    case wire::connection::CloseOk::id: return stack_.close(id_);
    case wire::channel::Close::id: {
      const auto close = wire::parse<wire::channel::Close>(payload);
      return fail(close ? std::string(close->reply_text) : "the broker closed a channel");
    }
    default: return fail("the broker sent a method that was not expected, on channel " + std::to_string(channel));
  }
}

void Connection::start() {
  base::FieldTable capabilities;
  for (const char* name : {"connection.blocked", "publisher_confirms", "basic.nack", "authentication_failure_close"})
    capabilities.push_back({name, {true}});
  base::FieldTable properties;
  properties.push_back({"product", {std::string("talaria-load")}});
  properties.push_back({"capabilities", {std::move(capabilities)}});
  std::vector<uint8_t> encoded(wire::table_size(properties));
  base::Writer out(encoded);
  wire::emit_table(out, properties);
  CHECK(out.ok());
  const std::string response = '\0' + plan_.user + '\0' + plan_.password;
  send(0, wire::connection::StartOk{.client_properties = {base::Bytes(encoded).subspan(4)},
                                    .mechanism = "PLAIN",
                                    .response = base::as_bytes(response),
                                    .locale = "en_US"});
}

void Connection::tune(base::Bytes payload) {
  const auto offered = wire::parse<wire::connection::Tune>(payload);
  if (!offered) return fail("the broker's connection.tune cannot be read");
  if (offered->frame_max != 0 && offered->frame_max < frame_max)
    return fail("the broker takes frames of " + std::to_string(offered->frame_max) + " octets only");
  // No heartbeats: the load is never silent for long, and TCP's keepalive watches over it.
  send(0, wire::connection::TuneOk{.channel_max = offered->channel_max, .frame_max = frame_max, .heartbeat = 0});
  send(0, wire::connection::Open{.virtual_host = plan_.vhost});
}

void Connection::write(base::Bytes bytes) {
  if (!has_unsent() && stack_.send_room(id_) != 0 && stack_.send(id_, bytes)) return;
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
}

void Connection::flush() {
  while (has_unsent()) {
    const size_t count = std::min<size_t>({unsent_.size() - unsent_at_, stack_.send_room(id_), 16384});
    if (count == 0 || !stack_.send(id_, base::Bytes(unsent_).subspan(unsent_at_, count))) return;
    unsent_at_ += count;
  }
  unsent_.clear();
  unsent_at_ = 0;
}

void Connection::close() {
  if (state_ == State::closing || state_ == State::closed) return;
  if (state_ != State::open) return stack_.abort(id_);
  state_ = State::closing;
  send(0, wire::connection::Close{.reply_code = 200, .reply_text = "the load has ended"});
}

}  // namespace talaria::load
