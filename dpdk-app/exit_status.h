// What talariad's exit status says (listed in --help), and how a start that fails is told.
#pragma once

#include <string>

namespace talaria::app {

inline constexpr int exit_ended = 0;
inline constexpr int exit_failed = 1;
inline constexpr int exit_settings = 2;
inline constexpr int exit_privileges = 3;
inline constexpr int exit_memory = 4;
inline constexpr int exit_port = 5;
inline constexpr int exit_control = 6;

// Why the broker cannot start: a sentence for the operator, and the status to exit with.
struct Failure {
  int status = exit_failed;
  std::string reason;
};

}  // namespace talaria::app
