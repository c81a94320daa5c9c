// Commands that come as messages: taken from the sessions for whoever carries them out (MessageDoor), and answered.

#include <spdlog/spdlog.h>

#include <chrono>

#include "control/plane.h"
#include "control/refusals.h"
#include "core/amqp091/wire/properties.h"

namespace talaria::control {
namespace {

namespace wire = amqp091::wire;

std::vector<uint8_t> properties_of(const std::string& correlation_id, uint64_t timestamp) {
  wire::Properties properties;
  properties.content_type = "application/json";
  properties.set(wire::Property::content_type);
  properties.delivery_mode = 1;
  properties.set(wire::Property::delivery_mode);
  properties.timestamp = timestamp;
  properties.set(wire::Property::timestamp);
  if (!correlation_id.empty()) {
    properties.correlation_id = correlation_id;
    properties.set(wire::Property::correlation_id);
  }
  std::vector<uint8_t> out(correlation_id.size() + 64);
  base::Writer writer(out);
  wire::emit_properties(writer, properties);
  CHECK(writer.ok());
  out.resize(writer.size());
  return out;
}

}  // namespace

// Nothing: the connection hears when the command is done.
std::optional<Plane::Body> Plane::on(Connection& connection, const ReplyTo& to, broker::Manage& request) {
  if (!options_.management)
    return broker::Refusal{broker::RefusalReason::not_implemented, "commands are not taken as messages here"};
  // The answer is published in the client's name: where he may not publish it does not go.
  if (!request.reply_is_direct)
    if (auto refusal = refused(connection, broker::Access::write, true, "")) return *std::move(refusal);
  connection.busy = true;
  counts_.commands++;
  commands_.push_back({to.session, to.token, connection.opened.user, connection.vhost->name, std::move(request)});
  return std::nullopt;
}

std::optional<Plane::Command> Plane::take_command() {
  if (commands_.empty()) return std::nullopt;
  Command command = std::move(commands_.front());
  commands_.pop_front();
  return command;
}

void Plane::answer_command(const Command& command, std::string text) {
  // A vhost that is gone took its queues along, and its connections are being closed.
  if (const Vhost* vhost = catalog_.vhost(command.vhost)) {
    const auto seconds =
        std::chrono::floor<std::chrono::seconds>(now_.time_since_epoch() + options_.wall_clock_ahead).count();
    auto made = std::make_unique<broker::Announcement>();
    made->vhost = vhost->id;
    made->routing_key = command.request.reply_to;
    made->properties = properties_of(command.request.correlation_id, static_cast<uint64_t>(seconds));
    made->body = std::move(text);
    made->persistent = false;
    this->command(0, worker::Announce{made.release()});
  }
  answer({command.session, command.token, 0}, broker::Done{});
  if (Connection* connection = catalog_.connection(command.session)) connection->busy = false;
  release_held(command.session);
}

}  // namespace talaria::control
