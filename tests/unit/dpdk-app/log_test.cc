// The log file, and logrotate.
#include "dpdk-app/log.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace talaria::app {
namespace {

namespace fs = std::filesystem;

class Log : public ::testing::Test {
 protected:
  Log() : earlier_(spdlog::default_logger()), earlier_level_(spdlog::get_level()) {
    fs::create_directory(directory_);
    settings_.log_file = directory_ / "talaria.log";
    settings_.log_level = "info";
    EXPECT_TRUE(set_up_log(settings_));
  }
  ~Log() override {
    spdlog::drop("talariad");
    spdlog::set_default_logger(earlier_);
    spdlog::set_level(earlier_level_);
    fs::remove_all(directory_);
  }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static bool has(const fs::path& file, const std::string& text) {
    return text_of(file).find(text) != std::string::npos;
  }

  const fs::path directory_ = fs::temp_directory_path() / ("talaria-log-" + std::to_string(getpid()));
  Settings settings_;
  std::shared_ptr<spdlog::logger> earlier_;
  spdlog::level::level_enum earlier_level_;
};

TEST_F(Log, OpenedAgainAfterARotation) {
  spdlog::info("the first line");
  const fs::path rotated = directory_ / "talaria.log.1";
  fs::rename(settings_.log_file, rotated);
  spdlog::info("the second line");
  reopen_log(settings_);
  spdlog::warn("the third line");
  spdlog::debug("too little to be said");
  EXPECT_TRUE(has(rotated, "the first line"));
  EXPECT_TRUE(has(rotated, "the second line"));
  EXPECT_FALSE(has(rotated, "the third line"));
  EXPECT_TRUE(has(settings_.log_file, "warning the third line\n")) << "in the same format";
  EXPECT_FALSE(has(settings_.log_file, "too little"));
}

TEST_F(Log, WhatCannotBeOpenedAgainIsKept) {
  const fs::path rotated = directory_ / "talaria.log.1";
  fs::rename(settings_.log_file, rotated);
  fs::create_directory(settings_.log_file);
  reopen_log(settings_);
  spdlog::info("a line");
  EXPECT_TRUE(has(rotated, "error hangup: the log file cannot be opened again"));
  EXPECT_TRUE(has(rotated, "a line"));
}

TEST_F(Log, WithoutAFileThereIsNothingToDo) {
  Settings to_standard_error;
  reopen_log(to_standard_error);
  EXPECT_TRUE(has(settings_.log_file, "there is no log file to open again"));
}

}  // namespace
}  // namespace talaria::app
