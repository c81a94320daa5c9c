#include "control/arguments.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "control/catalog.h"
#include "control/refusals.h"
#include "core/broker/choice_bindings.h"

namespace talaria::control {
namespace {

using base::Field;
using base::FieldTable;
using broker::ExchangeType;

std::string plain_value(const Field& field) { return field.text() ? *field.text() : base::to_text(field); }

// How the value of an argument that only one side has is told.
std::string described(const Field* field) {
  if (!field) return "none";
  return "the value '" + plain_value(*field) + "' of type '" + field->type_name() + "'";
}

std::string inequivalent(std::string_view name, const std::string& what, const std::string& received,
                         const std::string& current) {
  return "inequivalent arg '" + std::string(name) + "' for " + what + ": received " + received + " but current is " +
         current;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

MaybeRefusal invalid(std::string_view name, const std::string& what, const std::string& why) {
  return precondition_failed("invalid arg '" + std::string(name) + "' for " + what + ": " + why);
}

enum class Kind : uint8_t { integer, text, boolean };

struct KnownArgument {
  std::string_view name;
  Kind kind = Kind::integer;
  int64_t least = 0;
  int64_t most = INT64_MAX;
};

constexpr int64_t expiry_ms_most = 315'360'000'000;  // ten years, RabbitMQ's cap

// A queue counts so many deliveries of a message, and one more.
constexpr int64_t delivery_limit_most = 254;

// Values that a queue remembers.
constexpr int64_t cache_size_most = 1 << 20;
constexpr int64_t cache_size_unless_said = 128;

// Messages a second; and how often a queue looks.
constexpr int64_t slow_threshold_most = 1'000'000'000;
constexpr int64_t slow_period_ms_most = 86'400'000;
constexpr int64_t slow_period_ms_unless_said = 5000;

// What a classic queue understands in RabbitMQ, and x-delivery-limit, which there only quorum queues do.
constexpr KnownArgument known_arguments[] = {
    {"x-message-ttl", Kind::integer, 0, expiry_ms_most},
    {"x-expires", Kind::integer, 1, expiry_ms_most},
    {"x-max-length", Kind::integer, 0, INT64_MAX},
    {"x-max-length-bytes", Kind::integer, 0, INT64_MAX},
    {"x-max-priority", Kind::integer, 0, 255},
    {"x-consumer-timeout", Kind::integer, 0, expiry_ms_most},
    {"x-overflow", Kind::text, 0, 0},
    {"x-dead-letter-exchange", Kind::text, 0, 0},
    {"x-dead-letter-routing-key", Kind::text, 0, 0},
    {"x-delivery-limit", Kind::integer, -1, delivery_limit_most},
    {"x-single-active-consumer", Kind::boolean, 0, 0},
    // What RabbitMQ does not have.
    {"x-flow-stop", Kind::integer, 1, INT64_MAX},
    {"x-flow-resume", Kind::integer, 0, INT64_MAX},
    {"x-flow-stop-bytes", Kind::integer, 1, INT64_MAX},
    {"x-flow-resume-bytes", Kind::integer, 0, INT64_MAX},
    {"x-alert-up", Kind::integer, 1, INT64_MAX},
    {"x-alert-down", Kind::integer, 0, INT64_MAX},
    {"x-alert-up-bytes", Kind::integer, 1, INT64_MAX},
    {"x-alert-down-bytes", Kind::integer, 0, INT64_MAX},
    {"x-slow-consumer-threshold", Kind::integer, 1, slow_threshold_most},
    {"x-slow-consumer-check-period", Kind::integer, 1, slow_period_ms_most},
    {"x-slow-consumer-policy", Kind::text, 0, 0},
    {"x-last-value-key", Kind::text, 0, 0},
    {"x-group-key", Kind::text, 0, 0},
    {"x-message-deduplication", Kind::boolean, 0, 0},
    {"x-deduplication-header", Kind::text, 0, 0},
    {"x-cache-size", Kind::integer, 1, cache_size_most},
    {"x-cache-ttl", Kind::integer, 1, expiry_ms_most},
};

// Arguments of quorum queues and streams: a classic queue refuses them.
constexpr std::string_view foreign_arguments[] = {
    "x-dead-letter-strategy",
    "x-quorum-initial-group-size",
    "x-quorum-target-group-size",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-initial-cluster-size",
};

MaybeRefusal check_value(const KnownArgument& known, const Field& value, const std::string& what) {
  switch (known.kind) {
    case Kind::integer: {
      if (!value.is_integer())
        return invalid(known.name, what, std::string("\"expected integer, got ") + value.type_name() + "\"");
      int64_t number = value.integer();
      std::string shown = std::to_string(number);
      if (number < std::min<int64_t>(known.least, 0))
        return invalid(known.name, what, "{value_negative," + shown + "}");
      if (number < known.least) return invalid(known.name, what, "{value_zero," + shown + "}");
      if (number > known.most)
        return invalid(known.name, what,
                       (known.most == expiry_ms_most ? "{value_too_large," : "{max_value_exceeded,") + shown + "}");
      return std::nullopt;
    }
    case Kind::text:
      if (!value.text()) return invalid(known.name, what, std::string("{unacceptable_type,") + value.type_name() + "}");
      return std::nullopt;
    case Kind::boolean:
      if (!value.boolean())
        return invalid(known.name, what, std::string("{unacceptable_type,") + value.type_name() + "}");
      return std::nullopt;
  }
  return std::nullopt;
}

// What other brokers do with a queue or an exchange that has one of these is not done here.
constexpr std::string_view unsupported_of_queues[] = {"x-name-prefix"};
constexpr std::string_view unsupported_of_exchanges[] = {"x-name-prefix"};

MaybeRefusal check_unsupported(std::span<const std::string_view> names, const FieldTable& arguments,
                               const std::string& what) {
  for (std::string_view name : names) {
    const Field* value = base::find(arguments, name);
    if (!value) continue;
    // Asking not to have it is no promise.
    if (const bool* wanted = value->boolean(); wanted && !*wanted) continue;
    return precondition_failed("argument '" + std::string(name) + "' for " + what + " is not supported");
  }
  return std::nullopt;
}

bool deduplicates(const FieldTable& arguments) {
  const Field* wanted = base::find(arguments, "x-message-deduplication");
  return wanted && *wanted->boolean();
}

MaybeRefusal check_value_of(std::string_view name, const FieldTable& arguments, const std::string& what) {
  const Field* value = base::find(arguments, name);
  const auto known = std::find_if(std::begin(known_arguments), std::end(known_arguments),
                                  [&](const KnownArgument& one) { return one.name == name; });
  return value ? check_value(*known, *value, what) : std::nullopt;
}

MaybeRefusal check_header_name(std::string_view name, const FieldTable& arguments, const std::string& what) {
  const Field* header = base::find(arguments, name);
  if (!header || (!header->text()->empty() && header->text()->size() <= UINT8_MAX)) return std::nullopt;
  return invalid(name, what, "not the name of a header");
}

MaybeRefusal check_deduplication(const FieldTable& arguments, const std::string& what) {
  if (auto refusal = check_header_name("x-deduplication-header", arguments, what)) return refusal;
  if (deduplicates(arguments)) return std::nullopt;
  for (std::string_view name : {"x-deduplication-header", "x-cache-size", "x-cache-ttl"})
    if (base::find(arguments, name)) return invalid(name, what, "not without x-message-deduplication");
  return std::nullopt;
}

MaybeRefusal check_slow_consumers(const FieldTable& arguments, const std::string& what) {
  if (const Field* policy = base::find(arguments, "x-slow-consumer-policy");
      policy && *policy->text() != "notify" && *policy->text() != "close")
    return invalid("x-slow-consumer-policy", what, "neither notify nor close");
  if (base::find(arguments, "x-slow-consumer-threshold")) return std::nullopt;
  for (std::string_view name : {"x-slow-consumer-check-period", "x-slow-consumer-policy"})
    if (base::find(arguments, name)) return invalid(name, what, "not without x-slow-consumer-threshold");
  return std::nullopt;
}

std::optional<broker::SlowConsumers> slow_consumers_of(const FieldTable& arguments) {
  const Field* threshold = base::find(arguments, "x-slow-consumer-threshold");
  if (!threshold) return std::nullopt;
  const Field* period = base::find(arguments, "x-slow-consumer-check-period");
  const Field* policy = base::find(arguments, "x-slow-consumer-policy");
  return broker::SlowConsumers{static_cast<uint64_t>(threshold->integer()),
                               static_cast<uint64_t>(period ? period->integer() : slow_period_ms_unless_said),
                               policy && *policy->text() == "close"};
}

// What orders messages, or says whose they are, in another way.
MaybeRefusal check_groups(const FieldTable& arguments, const std::string& what) {
  if (!base::find(arguments, "x-group-key")) return std::nullopt;
  for (std::string_view name : {"x-max-priority", "x-single-active-consumer", "x-last-value-key"}) {
    const Field* other = base::find(arguments, name);
    if (!other || (other->boolean() && !*other->boolean())) continue;
    return invalid("x-group-key", what, "not with " + std::string(name));
  }
  return check_header_name("x-group-key", arguments, what);
}

broker::Deduplication deduplication_of(const FieldTable& arguments) {
  const Field* header = base::find(arguments, "x-deduplication-header");
  const Field* size = base::find(arguments, "x-cache-size");
  broker::Deduplication wanted;
  wanted.header = header ? *header->text() : "x-deduplication-header";
  wanted.cache_size = static_cast<uint32_t>(size ? size->integer() : cache_size_unless_said);
  if (const Field* ttl = base::find(arguments, "x-cache-ttl"))
    wanted.cache_ttl_ms = static_cast<uint64_t>(ttl->integer());
  return wanted;
}

// Something begins at `upper`, and ends at `lower`.
struct Bounds {
  std::string_view upper, lower;
};
constexpr Bounds flow_of_messages{"x-flow-stop", "x-flow-resume"};
constexpr Bounds flow_of_bytes{"x-flow-stop-bytes", "x-flow-resume-bytes"};
constexpr Bounds alert_of_messages{"x-alert-up", "x-alert-down"};
constexpr Bounds alert_of_bytes{"x-alert-up-bytes", "x-alert-down-bytes"};

MaybeRefusal check_bounds(const FieldTable& arguments, const std::string& what) {
  for (const Bounds& names : {flow_of_messages, flow_of_bytes, alert_of_messages, alert_of_bytes}) {
    const Field* upper = base::find(arguments, names.upper);
    const Field* lower = base::find(arguments, names.lower);
    if (!lower) continue;
    if (!upper) return invalid(names.lower, what, "not without " + std::string(names.upper));
    if (lower->integer() >= upper->integer())
      return invalid(names.lower, what, "not below " + std::string(names.upper));
  }
  return std::nullopt;
}

std::optional<broker::FlowLimit> flow_limit_of(const Bounds& names, const FieldTable& arguments) {
  const Field* stop = base::find(arguments, names.upper);
  if (!stop) return std::nullopt;
  broker::FlowLimit limit;
  limit.stop = static_cast<uint64_t>(stop->integer());
  limit.resume = limit.stop / 10 * 7 + limit.stop % 10 * 7 / 10;
  if (const Field* resume = base::find(arguments, names.lower)) limit.resume = static_cast<uint64_t>(resume->integer());
  return limit;
}

// A policy may have said a lower one for another upper one.
std::optional<Alert> alert_of(const Bounds& names, const FieldTable& arguments) {
  const Field* up = base::find(arguments, names.upper);
  if (!up) return std::nullopt;
  AlertLimit limit;
  limit.up = static_cast<uint64_t>(up->integer());
  limit.down = limit.up / 2;
  if (const Field* down = base::find(arguments, names.lower))
    limit.down = std::min(static_cast<uint64_t>(down->integer()), limit.up - 1);
  return Alert{limit};
}

MaybeRefusal check_queue_type(const FieldTable& arguments, const std::string& what) {
  const Field* type = base::find(arguments, "x-queue-type");
  if (!type) return std::nullopt;
  if (!type->text()) return invalid("x-queue-type", what, std::string("{unacceptable_type,") + type->type_name() + "}");
  if (*type->text() == queue_type) return std::nullopt;
  return invalid("x-queue-type", what, "\"unsupported queue type '" + *type->text() + "'\"");
}

MaybeRefusal check_argument_same(std::string_view name, const FieldTable& received, const FieldTable& current,
                                 const std::string& what) {
  const Field* theirs = base::find(received, name);
  const Field* ours = base::find(current, name);
  if (!theirs && !ours) return std::nullopt;
  if (theirs && ours) {
    if (base::equivalent(*theirs, *ours)) return std::nullopt;
    return precondition_failed(inequivalent(name, what, quoted(plain_value(*theirs)), quoted(plain_value(*ours))));
  }
  return precondition_failed(inequivalent(name, what, described(theirs), described(ours)));
}

// Types whose exchanges remember, whatever their arguments.
bool is_of_memory(ExchangeType type) {
  return type == ExchangeType::recent_history || type == ExchangeType::message_deduplication;
}

constexpr int64_t history_length_most = 1 << 20;
constexpr int64_t history_length_unless_said = 20;
constexpr std::string_view memory_arguments[] = {
    "x-message-deduplication", "x-cache-size", "x-cache-ttl", "x-deduplication-header", "x-cache-persistence",
};

// Texts of RabbitMQ's plugins, where they have one.
MaybeRefusal check_history(const FieldTable& arguments) {
  const Field* length = base::find(arguments, "x-recent-history-length");
  if (!length) return std::nullopt;
  if (!length->is_integer() || length->integer() <= 0)
    return precondition_failed("Invalid argument " + base::to_text(*length) +
                               ", 'x-recent-history-length' must be a positive integer");
  if (length->integer() <= history_length_most) return std::nullopt;
  return precondition_failed("Invalid argument, 'x-recent-history-length' must not be greater than " +
                             std::to_string(history_length_most));
}

MaybeRefusal check_cache(const FieldTable& arguments) {
  const Field* size = base::find(arguments, "x-cache-size");
  if (!size || !size->is_integer() || size->integer() <= 0)
    return precondition_failed("Missing or invalid argument, 'x-cache-size' must be an integer greater than 0");
  if (const Field* ttl = base::find(arguments, "x-cache-ttl"); ttl && (!ttl->is_integer() || ttl->integer() <= 0))
    return precondition_failed("Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
  const Field* persistence = base::find(arguments, "x-cache-persistence");
  if (!persistence || (persistence->text() && *persistence->text() == "memory")) return std::nullopt;
  if (persistence->text() && *persistence->text() == "disk")
    return precondition_failed("Invalid argument, 'x-cache-persistence' 'disk' is not supported");
  return precondition_failed("Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'");
}

// An exchange of any type may drop duplicates, as LavinMQ's do.
MaybeRefusal check_memory(ExchangeType type, const FieldTable& arguments, const std::string& what) {
  if (type == ExchangeType::recent_history)
    if (auto refusal = check_history(arguments)) return refusal;
  if (type == ExchangeType::message_deduplication)
    if (auto refusal = check_cache(arguments)) return refusal;
  for (std::string_view name : {"x-message-deduplication", "x-deduplication-header", "x-cache-size", "x-cache-ttl"})
    if (auto refusal = check_value_of(name, arguments, what)) return refusal;
  if (type == ExchangeType::message_deduplication) return check_header_name("x-deduplication-header", arguments, what);
  if (base::find(arguments, "x-cache-persistence"))
    return invalid("x-cache-persistence", what, "only of the type x-message-deduplication");
  return check_deduplication(arguments, what);
}

broker::HashProperty hash_property_named(std::string_view name) {
  if (name == "correlation_id") return broker::HashProperty::correlation_id;
  if (name == "message_id") return broker::HashProperty::message_id;
  if (name == "timestamp") return broker::HashProperty::timestamp;
  return broker::HashProperty::none;
}

constexpr std::string_view hash_arguments[] = {"hash-header", "hash-property"};

MaybeRefusal check_hashing(const FieldTable& arguments, const std::string& what) {
  for (std::string_view name : hash_arguments)
    if (const Field* value = base::find(arguments, name); value && !value->text())
      return precondition_failed(std::string("invalid type '") + value->type_name() + "' for arg '" +
                                 std::string(name) + "' in " + what);
  const Field* property = base::find(arguments, "hash-property");
  if (!property) return std::nullopt;
  if (base::find(arguments, "hash-header"))
    return precondition_failed("hash-header and hash-property are mutually exclusive");
  if (hash_property_named(*property->text()) != broker::HashProperty::none) return std::nullopt;
  return precondition_failed("Unsupported property: " + *property->text());
}

// A binding of a headers exchange.
MaybeRefusal check_match(const FieldTable& arguments) {
  const Field* match = base::find(arguments, "x-match");
  if (!match) return std::nullopt;
  if (!match->text())
    return precondition_failed(std::string("Invalid x-match field type ") + match->type_name() + " (value " +
                               base::to_text(*match) + "); expected longstr");
  constexpr std::string_view ways[] = {"all", "any", "all-with-x", "any-with-x"};
  if (std::find(std::begin(ways), std::end(ways), *match->text()) != std::end(ways)) return std::nullopt;
  return precondition_failed("Invalid x-match field value <<\"" + *match->text() +
                             "\">>; expected all, any, all-with-x, or any-with-x");
}

}  // namespace

MaybeRefusal check_queue_arguments(const FieldTable& arguments, const std::string& what) {
  if (auto refusal = check_queue_type(arguments, what)) return refusal;
  for (const KnownArgument& known : known_arguments)
    if (const Field* value = base::find(arguments, known.name))
      if (auto refusal = check_value(known, *value, what)) return refusal;
  if (base::find(arguments, "x-dead-letter-routing-key") && !base::find(arguments, "x-dead-letter-exchange"))
    return invalid("x-dead-letter-routing-key", what, "routing_key_but_no_dlx_defined");
  if (const Field* key = base::find(arguments, "x-dead-letter-routing-key"); key && key->text()->size() > UINT8_MAX)
    return invalid("x-dead-letter-routing-key", what, "{value_too_long," + std::to_string(key->text()->size()) + "}");
  if (const Field* overflow = base::find(arguments, "x-overflow")) {
    constexpr std::string_view modes[] = {"drop-head", "reject-publish", "reject-publish-dlx"};
    if (std::find(std::begin(modes), std::end(modes), *overflow->text()) == std::end(modes))
      return invalid("x-overflow", what, "invalid_overflow");
  }
  for (std::string_view foreign : foreign_arguments)
    if (base::find(arguments, foreign))
      return precondition_failed("invalid arg '" + std::string(foreign) + "' for " + what + " of queue type classic");
  if (auto refusal = check_bounds(arguments, what)) return refusal;
  if (auto refusal = check_slow_consumers(arguments, what)) return refusal;
  if (auto refusal = check_deduplication(arguments, what)) return refusal;
  if (auto refusal = check_header_name("x-last-value-key", arguments, what)) return refusal;
  if (auto refusal = check_groups(arguments, what)) return refusal;
  return check_unsupported(unsupported_of_queues, arguments, what);
}

MaybeRefusal check_dead_letter_exchange(const FieldTable& arguments, const std::string& what) {
  const Field* exchange = base::find(arguments, "x-dead-letter-exchange");
  if (!exchange || exchange->text()) return std::nullopt;
  return precondition_failed(std::string("invalid type '") + exchange->type_name() +
                             "' for arg 'x-dead-letter-exchange' in " + what);
}

MaybeRefusal check_exchange_arguments(ExchangeType type, const FieldTable& arguments, const std::string& what) {
  const Field* alternate = base::find(arguments, "alternate-exchange");
  if (alternate && !alternate->text())
    return precondition_failed(std::string("invalid type '") + alternate->type_name() +
                               "' for arg 'alternate-exchange' in " + what);
  if (type == ExchangeType::delayed_message) {
    const Field* inner = base::find(arguments, "x-delayed-type");
    ExchangeType routing{};
    if (!inner || !inner->text() || !type_from_name(*inner->text(), routing) ||
        routing == ExchangeType::delayed_message || is_of_memory(routing))
      return precondition_failed("Invalid argument, 'x-delayed-type' must be an existing exchange type");
    constexpr std::string_view either[] = {"x-message-deduplication"};
    if (auto refusal = check_unsupported(either, arguments, what)) return refusal;
    type = routing;
  }
  if (type == ExchangeType::consistent_hash)
    if (auto refusal = check_hashing(arguments, what)) return refusal;
  if (auto refusal = check_memory(type, arguments, what)) return refusal;
  return check_unsupported(unsupported_of_exchanges, arguments, what);
}

// Texts of RabbitMQ's plugins.
MaybeRefusal check_binding(ExchangeType source, bool to_queue, const std::string& key, const FieldTable& arguments) {
  if (source == ExchangeType::headers) return check_match(arguments);
  if (source == ExchangeType::consistent_hash && !broker::weight_of(key)) {
    const bool digits = key.find_first_not_of("0123456789", key.starts_with('-') ? 1 : 0) == std::string::npos;
    if (digits && !key.empty() && key != "-") {
      if (key.starts_with('-') || key.find_first_not_of('0') == std::string::npos)
        return precondition_failed("The binding key must be greater than 0");
      return precondition_failed("The binding key must not be greater than " + std::to_string(UINT32_MAX));
    }
    return precondition_failed("The binding key must be an integer: <<\"" + key + "\">>");
  }
  if (source == ExchangeType::local_random) {
    if (!key.empty()) return precondition_failed("Non empty binding '" + key + "' key not permitted");
    if (!to_queue) return precondition_failed("Destination not found");
  }
  return std::nullopt;
}

MaybeRefusal check_same(const char* name, bool received, bool current, const std::string& what) {
  return check_same(name, std::string_view{received ? "true" : "false"}, std::string_view{current ? "true" : "false"},
                    what);
}

MaybeRefusal check_same(const char* name, std::string_view received, std::string_view current,
                        const std::string& what) {
  if (received == current) return std::nullopt;
  return precondition_failed(inequivalent(name, what, quoted(received), quoted(current)));
}

MaybeRefusal check_queue_arguments_same(const FieldTable& received, const FieldTable& current,
                                        const std::string& what) {
  for (const KnownArgument& known : known_arguments)
    if (auto refusal = check_argument_same(known.name, received, current, what)) return refusal;
  // No type stands for classic.
  auto type_of = [](const FieldTable& table) {
    const Field* type = base::find(table, "x-queue-type");
    return type ? plain_value(*type) : std::string(queue_type);
  };
  return check_same("x-queue-type", type_of(received), type_of(current), what);
}

MaybeRefusal check_exchange_arguments_same(ExchangeType type, const FieldTable& received, const FieldTable& current,
                                           const std::string& what) {
  if (type == ExchangeType::delayed_message)
    if (auto refusal = check_argument_same("x-delayed-type", received, current, what)) return refusal;
  if (routing_type_of(type, current) == ExchangeType::consistent_hash)
    for (std::string_view name : hash_arguments)
      if (auto refusal = check_argument_same(name, received, current, what)) return refusal;
  if (type == ExchangeType::recent_history)
    if (auto refusal = check_argument_same("x-recent-history-length", received, current, what)) return refusal;
  for (std::string_view name : memory_arguments)
    if (auto refusal = check_argument_same(name, received, current, what)) return refusal;
  return check_argument_same("alternate-exchange", received, current, what);
}

bool remembers(ExchangeType type, const FieldTable& arguments) { return is_of_memory(type) || deduplicates(arguments); }

ExchangeType routing_type_of(ExchangeType type, const FieldTable& arguments) {
  if (is_of_memory(type)) return ExchangeType::fanout;
  if (type != ExchangeType::delayed_message) return type;
  const Field* inner = base::find(arguments, "x-delayed-type");
  if (inner && inner->text()) type_from_name(*inner->text(), type);
  return type;
}

std::shared_ptr<const broker::ExchangeSettings> exchange_settings_of(ExchangeType type, const FieldTable& arguments) {
  broker::ExchangeSettings settings;
  if (routing_type_of(type, arguments) == ExchangeType::consistent_hash) {
    if (const Field* header = base::find(arguments, "hash-header")) settings.hash_header = *header->text();
    if (const Field* property = base::find(arguments, "hash-property"))
      settings.hash_property = hash_property_named(*property->text());
  }
  settings.delays = type == ExchangeType::delayed_message;
  if (type == ExchangeType::recent_history) {
    const Field* length = base::find(arguments, "x-recent-history-length");
    settings.history_length = static_cast<uint32_t>(length ? length->integer() : history_length_unless_said);
  }
  if (type == ExchangeType::message_deduplication || deduplicates(arguments))
    settings.deduplication = deduplication_of(arguments);
  if (settings == broker::ExchangeSettings{}) return nullptr;
  return std::make_shared<const broker::ExchangeSettings>(settings);
}

std::shared_ptr<const broker::QueueSettings> queue_settings_of(const std::string& queue, const FieldTable& arguments) {
  broker::QueueSettings settings;
  const auto take = [&](std::string_view name, std::optional<uint64_t>& out) {
    const Field* value = base::find(arguments, name);
    if (value) out = static_cast<uint64_t>(value->integer());
  };
  take("x-message-ttl", settings.message_ttl_ms);
  take("x-expires", settings.expires_ms);
  take("x-max-length", settings.max_length);
  take("x-max-length-bytes", settings.max_length_bytes);
  take("x-consumer-timeout", settings.consumer_timeout_ms);
  const Field* overflow = base::find(arguments, "x-overflow");
  if (overflow && (settings.max_length || settings.max_length_bytes)) {
    if (*overflow->text() == "reject-publish") settings.overflow = broker::Overflow::reject_publish;
    if (*overflow->text() == "reject-publish-dlx") settings.overflow = broker::Overflow::reject_publish_dlx;
  }
  if (const Field* exchange = base::find(arguments, "x-dead-letter-exchange")) {
    settings.dead_lettering = broker::DeadLettering{*exchange->text()};
    if (const Field* key = base::find(arguments, "x-dead-letter-routing-key"))
      settings.dead_lettering->routing_key = *key->text();
  }
  if (const Field* priority = base::find(arguments, "x-max-priority"))
    settings.max_priority = static_cast<uint8_t>(priority->integer());
  if (const Field* single = base::find(arguments, "x-single-active-consumer"))
    settings.single_active_consumer = *single->boolean();
  if (const Field* limit = base::find(arguments, "x-delivery-limit"); limit && limit->integer() >= 0)
    settings.delivery_limit = static_cast<uint32_t>(limit->integer());
  settings.slow_consumers = slow_consumers_of(arguments);
  settings.flow = flow_limit_of(flow_of_messages, arguments);
  settings.flow_bytes = flow_limit_of(flow_of_bytes, arguments);
  if (const Field* key = base::find(arguments, "x-last-value-key")) settings.last_value_key = *key->text();
  if (const Field* key = base::find(arguments, "x-group-key")) settings.group_key = *key->text();
  if (deduplicates(arguments)) settings.deduplication = deduplication_of(arguments);
  if (settings == broker::QueueSettings{}) return nullptr;
  settings.queue = queue;
  return std::make_shared<const broker::QueueSettings>(std::move(settings));
}

QueueAlerts alerts_of(const FieldTable& arguments) {
  return {alert_of(alert_of_messages, arguments), alert_of(alert_of_bytes, arguments)};
}

std::string alternate_of(const FieldTable& arguments) {
  const Field* alternate = base::find(arguments, "alternate-exchange");
  return alternate && alternate->text() ? *alternate->text() : std::string();
}

}  // namespace talaria::control
