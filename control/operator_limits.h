// Bounds that operators set for one vhost or one user, by RabbitMQ's names. Stateless.
//
//   of a vhost   max-connections  max-queues
//   of a user    max-connections  max-channels
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace talaria::control {

// A negative value is no limit, as if it were not there; 0 lets nothing in.
using OperatorLimits = std::map<std::string, int64_t, std::less<>>;

inline constexpr std::string_view max_connections = "max-connections";
inline constexpr std::string_view max_queues = "max-queues";
inline constexpr std::string_view max_channels = "max-channels";

enum class LimitsOf : uint8_t { vhost, user };
// Why a limit of this name cannot be set; nothing: it can.
inline std::optional<std::string> limit_fault(LimitsOf kind, std::string_view name) {
  if (name == max_connections || name == (kind == LimitsOf::vhost ? max_queues : max_channels)) return std::nullopt;
  return "'" + std::string(name) + "' is no limit of a " + (kind == LimitsOf::vhost ? "vhost" : "user") +
         ": there are max-connections and " + std::string(kind == LimitsOf::vhost ? max_queues : max_channels);
}

// The limit that `count` has reached, if there is one.
inline std::optional<int64_t> limit_reached(const OperatorLimits& limits, std::string_view name, size_t count) {
  const auto limit = limits.find(name);
  if (limit == limits.end() || limit->second < 0 || count < static_cast<uint64_t>(limit->second)) return std::nullopt;
  return limit->second;
}

}  // namespace talaria::control
