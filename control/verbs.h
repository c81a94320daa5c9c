// The table of commands: which there are, and who may give which in a message (by the control socket everybody who can
// open it may give all).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "control/catalog.h"

namespace talaria::control {

// By the tags of an account. As in RabbitMQ's management an administrator is everything, and who monitors or makes
// policies also manages.
enum class Role : uint8_t { management, policymaker, monitoring, administrator };

struct Verb {
  std::string_view name;
  Role role = Role::administrator;
  bool in_vhost = false;         // it is about one, "/" unless another is named
  bool by_socket_alone = false;  // what it says is too long for a message, or not for the network
};

// nullptr: there is no such command.
const Verb* find_verb(std::string_view name);
std::span<const Verb> all_verbs();
// Whether the account may give the command with these arguments; one in a vhost names it.
bool may_give(const User& user, const Verb& verb, const nlohmann::json& arguments);

// Whoever reads values within values does so by recursion: what nests deeper than this is no command.
inline constexpr int json_depth_max = 64;
bool nested_too_deep(std::string_view text);

}  // namespace talaria::control
