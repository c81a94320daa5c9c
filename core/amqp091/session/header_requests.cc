#include "core/amqp091/session/header_requests.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/amqp091/session/closing.h"
#include "core/amqp091/session/rewriting.h"
#include "core/amqp091/wire/methods.h"
#include "core/amqp091/wire/table.h"
#include "core/base/check.h"

namespace talaria::amqp091::session {
namespace {

constexpr uint32_t method = wire::basic::Publish::id;
// Routing keys of CC and BCC: each is routed.
constexpr size_t copies_max = 1024;

// Of both headers. False: they are no arrays, or too many; the channel has failed.
bool take_copies(Channel& channel, const base::FieldTable& headers) {
  std::vector<std::string>& copies = channel.publishing.copies;
  for (const std::string_view name : {"CC", "BCC"}) {
    const base::Field* keys = base::find(headers, name);
    if (keys == nullptr) continue;
    const auto* array = std::get_if<base::FieldArray>(&keys->value);
    if (array == nullptr) {
      fail_channel(
          channel, ReplyCode::precondition_failed,
          "invalid message: {unacceptable_type_in_header,\"" + std::string(name) + "\"," + keys->type_name() + "}",
          method);
      return false;
    }
    for (const base::Field& key : *array)
      if (key.text() != nullptr && key.text()->size() <= wire::shortstr_max) copies.push_back(*key.text());
  }
  if (copies.size() <= copies_max) return true;
  fail_channel(channel, ReplyCode::precondition_failed,
               "invalid message: more than " + std::to_string(copies_max) + " routing keys", method);
  return false;
}

// The header stays, with its sign turned: it tells that the message was delayed, and keeps it from being so again.
bool take_delay(Channel& channel, base::FieldTable& headers) {
  for (base::FieldEntry& entry : headers) {
    if (entry.name != "x-delay") continue;
    const uint64_t delay_ms = delay_of(entry.value);
    if (delay_ms == 0) continue;
    channel.publishing.delay_ms = delay_ms;
    const auto turned = -static_cast<int64_t>(delay_ms);
    if (turned >= INT32_MIN)
      entry.value = {static_cast<int32_t>(turned)};
    else
      entry.value = {turned};
  }
  return channel.publishing.delay_ms != 0;
}

}  // namespace

bool may_name_copies(wire::Table headers) {
  const std::string_view text = base::as_text(headers.bytes);
  for (size_t at = text.find("CC"); at != std::string_view::npos; at = text.find("CC", at + 1)) {
    const std::string_view before = text.substr(0, at);
    if (before.ends_with('\2') || before.ends_with("\3B")) return true;
  }
  return false;
}

std::optional<Bytes> take_requests(Channel& channel, const wire::ContentScan& scan, bool delays) {
  Connection& connection = channel.connection;
  auto properties = wire::parse_properties(scan.raw);
  CHECK(properties);  // it was scanned
  bool changed = false;
  if (scan.reply_to == reply_to_name) {
    if (!channel.reply_consumer) {
      fail_channel(channel, ReplyCode::precondition_failed, "fast reply consumer does not exist", method);
      return std::nullopt;
    }
    properties->reply_to = channel.reply_consumer->address;
    changed = true;
  }
  std::vector<uint8_t> table;
  const bool may_copy = may_name_copies(scan.headers);
  if (may_copy || (delays && !scan.headers.bytes.empty())) {
    auto headers = wire::decode_table(scan.headers);
    if (!headers) {
      fail(connection, headers.error());
      return std::nullopt;
    }
    if (may_copy && !take_copies(channel, *headers)) return std::nullopt;
    bool rewritten = may_copy && std::erase_if(*headers, [](const auto& entry) { return entry.name == "BCC"; }) != 0;
    if (delays) rewritten |= take_delay(channel, *headers);
    if (rewritten) {
      table = encoded_headers(*headers);
      properties->headers.bytes = table;
      changed = true;
    }
  }
  if (!changed) return scan.raw;
  std::vector<uint8_t>& whole = connection.shared->whole;
  whole = encoded(*properties, wire::properties_max(connection.frame_max));
  if (!whole.empty()) return Bytes(whole);
  fail_channel(channel, ReplyCode::precondition_failed,
               "invalid message: its header with the address for replies is longer than a frame", method);
  return std::nullopt;
}

Allowed authorized_copies(Channel& channel) {
  // All answers must be remembered at once.
  const size_t most = channel.connection.shared->config.keys_remembered / 2;
  const std::vector<std::string>& copies = channel.publishing.copies;
  if (copies.size() > most) {
    fail_channel(channel, ReplyCode::precondition_failed,
                 "invalid message: more than " + std::to_string(most) + " routing keys", method);
    return Allowed::no;
  }
  for (const std::string& key : copies)
    if (const Allowed answer = authorized_key(channel, channel.publishing.front.exchange(), key, method);
        answer != Allowed::yes)
      return answer;
  return Allowed::yes;
}

}  // namespace talaria::amqp091::session
