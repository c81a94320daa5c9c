// The broker's log: spdlog, written by the control thread alone (before and after it runs: by main).
#pragma once

#include <expected>
#include <functional>
#include <string_view>

#include "dpdk-app/exit_status.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

std::expected<void, Failure> set_up_log(const Settings& settings);
// After the log file was renamed (logrotate): the next line goes to a new file of the old name. Where that cannot be
// had the lines stay where they are. Without a log file there is nothing to do, and that is said.
void reopen_log(const Settings& settings);
// While it lives, every line of the log also goes to `publish`, with its level in AMQP's fashion: "info", "warning",
// ...
class LogPublisher {
 public:
  using Publish = std::function<void(std::string_view level, std::string_view line)>;
  explicit LogPublisher(Publish publish);
  ~LogPublisher();
  LogPublisher(const LogPublisher&) = delete;
};
// Passes on what DPDK and its drivers said since the last call.
void log_dpdk_lines();

}  // namespace talaria::app
