#include "dpdk-app/log.h"

#include <rte_log.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "dpdk-app/dpdk_log.h"

namespace talaria::app {
namespace {

// DPDK's "info" is a running commentary.
spdlog::level::level_enum level_of(uint32_t dpdk_level) {
  if (dpdk_level <= RTE_LOG_CRIT) return spdlog::level::critical;
  if (dpdk_level == RTE_LOG_ERR) return spdlog::level::err;
  if (dpdk_level == RTE_LOG_WARNING) return spdlog::level::warn;
  return spdlog::level::debug;
}

}  // namespace

std::expected<void, Failure> set_up_log(const Settings& settings) {
  try {
    auto logger = settings.log_file.empty() ? spdlog::stderr_color_st("talariad")
                                            : spdlog::basic_logger_st("talariad", settings.log_file);
    spdlog::set_default_logger(logger);
    spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%f %^%l%$ %v");
    spdlog::set_level(spdlog::level::from_str(settings.log_level));
    spdlog::flush_on(spdlog::level::trace);
  } catch (const spdlog::spdlog_ex& error) {
    return std::unexpected(Failure{exit_settings, std::string("--log-file: ") + error.what()});
  }
  return {};
}

void log_dpdk_lines() {
  uint64_t dropped = 0;
  for (const DpdkLogLine& line : take_dpdk_log(dropped)) spdlog::log(level_of(line.level), "dpdk: {}", line.text);
  if (dropped != 0) spdlog::warn("dpdk: {} more lines", dropped);
}

}  // namespace talaria::app
