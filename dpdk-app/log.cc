#include "dpdk-app/log.h"

#include <rte_log.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "dpdk-app/dpdk_log.h"

namespace talaria::app {
namespace {

constexpr const char* pattern = "%Y-%m-%d %H:%M:%S.%f %^%l%$ %v";

// DPDK's "info" is a running commentary.
spdlog::level::level_enum level_of(uint32_t dpdk_level) {
  if (dpdk_level <= RTE_LOG_CRIT) return spdlog::level::critical;
  if (dpdk_level == RTE_LOG_ERR) return spdlog::level::err;
  if (dpdk_level == RTE_LOG_WARNING) return spdlog::level::warn;
  return spdlog::level::debug;
}

class PublishingSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit PublishingSink(LogPublisher::Publish publish) : publish_(std::move(publish)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& line) override {
    const spdlog::string_view_t level = spdlog::level::to_string_view(line.level);
    publish_({level.data(), level.size()}, {line.payload.data(), line.payload.size()});
  }
  void flush_() override {}

  LogPublisher::Publish publish_;
};

}  // namespace

LogPublisher::LogPublisher(Publish publish) {
  spdlog::default_logger()->sinks().push_back(std::make_shared<PublishingSink>(std::move(publish)));
}

LogPublisher::~LogPublisher() { spdlog::default_logger()->sinks().pop_back(); }

std::expected<void, Failure> set_up_log(const Settings& settings) {
  try {
    auto logger = settings.log_file.empty() ? spdlog::stderr_color_st("talariad")
                                            : spdlog::basic_logger_st("talariad", settings.log_file);
    spdlog::set_default_logger(logger);
    spdlog::set_pattern(pattern);
    spdlog::set_level(spdlog::level::from_str(settings.log_level));
    spdlog::flush_on(spdlog::level::trace);
  } catch (const spdlog::spdlog_ex& error) {
    return std::unexpected(Failure{exit_settings, std::string("--log-file: ") + error.what()});
  }
  return {};
}

void reopen_log(const Settings& settings) {
  if (settings.log_file.empty())
    return spdlog::info("hangup: there is no log file to open again, and nothing else to do");
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_st>(settings.log_file);
    spdlog::default_logger()->sinks().front() = std::move(sink);
    spdlog::set_pattern(pattern);
    spdlog::info("hangup: the log file was opened again");
  } catch (const spdlog::spdlog_ex& error) {
    spdlog::error("hangup: the log file cannot be opened again, lines stay in the old one: {}", error.what());
  }
}

void log_dpdk_lines() {
  uint64_t dropped = 0;
  for (const DpdkLogLine& line : take_dpdk_log(dropped)) spdlog::log(level_of(line.level), "dpdk: {}", line.text);
  if (dropped != 0) spdlog::warn("dpdk: {} more lines", dropped);
}

}  // namespace talaria::app
