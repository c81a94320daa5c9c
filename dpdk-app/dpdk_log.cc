#include "dpdk-app/dpdk_log.h"

#include <rte_log.h>
#include <stdio.h>

#include <mutex>
#include <string_view>
#include <utility>

namespace talaria::app {
namespace {

constexpr size_t lines_max = 1024;

struct LogLines {
  std::mutex mutex;
  std::vector<DpdkLogLine> lines;
  std::string unfinished;  // rte_log may be called with parts of a line
  uint64_t dropped = 0;

  void write(std::string_view text, uint32_t level) {
    std::lock_guard lock(mutex);
    for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
      unfinished += text.substr(0, end);
      if (unfinished.empty()) continue;
      if (lines.size() < lines_max)
        lines.push_back({level, std::move(unfinished)});
      else
        dropped++;
      unfinished.clear();
    }
    if (unfinished.size() < 4096) unfinished += text;
  }
};

LogLines& log_lines() {
  static LogLines lines;
  return lines;
}

ssize_t write_to_lines(void*, const char* data, size_t size) {
  const int level = rte_log_cur_msg_loglevel();
  log_lines().write({data, size}, level > 0 ? static_cast<uint32_t>(level) : RTE_LOG_INFO);
  return static_cast<ssize_t>(size);
}

}  // namespace

bool start_dpdk_log() {
  log_lines();
  cookie_io_functions_t functions{};
  functions.write = write_to_lines;
  FILE* stream = fopencookie(nullptr, "w", functions);
  if (stream == nullptr) return false;
  // Line by line, so that a line keeps the level it was logged with.
  setvbuf(stream, nullptr, _IOLBF, BUFSIZ);
  return rte_openlog_stream(stream) == 0;
}

std::vector<DpdkLogLine> take_dpdk_log(uint64_t& dropped) {
  LogLines& log = log_lines();
  std::lock_guard lock(log.mutex);
  dropped = std::exchange(log.dropped, 0);
  return std::exchange(log.lines, {});
}

}  // namespace talaria::app
