// The broker's log: spdlog, written by the control thread alone (before and after it runs: by main).
#pragma once

#include <expected>

#include "dpdk-app/exit_status.h"
#include "dpdk-app/settings.h"

namespace talaria::app {

std::expected<void, Failure> set_up_log(const Settings& settings);
// Passes on what DPDK and its drivers said since the last call.
void log_dpdk_lines();

}  // namespace talaria::app
