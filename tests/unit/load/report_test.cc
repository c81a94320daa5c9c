#include "load/report.h"

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

namespace talaria::load {
namespace {

using base::operator""s;

Report example() {
  Report report;
  report.transport = "rings";
  report.mtu = 1500;
  report.result.window = 2s;
  report.result.begin = {.published = 1000, .delivered = 900};
  report.result.end = {.published = 2'001'000, .delivered = 1'800'900};
  report.result.all = {.published = 2'500'000, .delivered = 2'500'000};
  auto latency = std::make_unique<base::FineHistogram>();
  for (uint64_t us = 1; us <= 10'000; us++) latency->record(us * 1000);
  report.result.latency.add(*latency);
  auto turns = std::make_unique<base::FineHistogram>();
  turns->record(500, 10);
  turns->record(3000, 5);
  turns->record(5'000'000);
  report.load.turn_lengths.add(*turns);
  report.broker = report.load;
  report.ceiling = Ceiling{.publish_rate = 7e6, .deliver_rate = 8e6};
  report.machine = {{"processor", "a \"good\" one"}};
  return report;
}

TEST(ReportJson, HasWhatIsPromised) {
  const auto json = nlohmann::json::parse(to_json(example()));
  EXPECT_DOUBLE_EQ(json.at("publish_rate"), 1'000'000);
  EXPECT_DOUBLE_EQ(json.at("deliver_rate"), 900'000);
  EXPECT_EQ(json.at("lost"), 0);
  EXPECT_EQ(json.at("reordered"), 0);
  EXPECT_EQ(json.at("duplicated"), 0);
  for (const auto& [name, value] : {std::pair{"p50", 5000.0}, {"p99", 9900.0}, {"p99.9", 9990.0}, {"p99.99", 9999.0}})
    EXPECT_NEAR(json.at("latency_us").at(name).get<double>(), value, value * 0.01) << name;
  EXPECT_DOUBLE_EQ(json.at("latency_us").at("max"), 10'000);
  EXPECT_DOUBLE_EQ(json.at("ceiling").at("publish_rate"), 7e6);
  EXPECT_DOUBLE_EQ(json.at("loops").at("broker").at("longest_us"), 5000);
  EXPECT_EQ(json.at("loops").at("load").at("turns"), 16);
  EXPECT_TRUE(json.at("rate").is_null()) << "flat out";
  EXPECT_TRUE(json.at("confirm_latency_us").is_null());
  EXPECT_EQ(json.at("machine").at("processor"), "a \"good\" one");
  EXPECT_EQ(to_json(example()).find('\n'), std::string::npos);
}

TEST(ReportJson, TurnsByLengthAddUp) {
  const auto json = nlohmann::json::parse(to_json(example()));
  uint64_t turns = 0;
  for (const auto& bucket : json.at("loops").at("broker").at("turns_by_length"))
    turns += bucket.at("turns").get<uint64_t>();
  EXPECT_EQ(turns, 16u);
  EXPECT_EQ(json.at("loops").at("broker").at("turns_by_length").size(), 3u);
}

TEST(ReportJson, WhatIsNotThereIsNullWithAReason) {
  Report report = example();
  report.ceiling.reset();
  report.ceiling_reason = "not asked for";
  report.broker.reset();
  report.result.latency = {};
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_TRUE(json.at("ceiling").is_null());
  EXPECT_EQ(json.at("ceiling_reason"), "not asked for");
  EXPECT_TRUE(json.at("loops").at("broker").is_null());
  EXPECT_TRUE(json.at("latency_us").is_null());
}

TEST(ReportText, SaysWhatFailed) {
  Report report = example();
  report.result.failure = "ACCESS_REFUSED";
  EXPECT_NE(to_text(report).find("ACCESS_REFUSED"), std::string::npos);
  EXPECT_NE(table_row(report).find("ACCESS_REFUSED"), std::string::npos);
  EXPECT_FALSE(report.result.whole());
}

TEST(ReportText, ARowThatIsNotWholeSaysSo) {
  Report report = example();
  EXPECT_EQ(table_row(report).find("NOT WHOLE"), std::string::npos);
  report.result.reordered = 1;
  EXPECT_NE(table_row(report).find("NOT WHOLE"), std::string::npos);
}

TEST(ReportSvg, HasAPointForEachPacedRunAndPercentile) {
  std::vector<Report> reports(3, example());
  for (size_t i = 0; i < reports.size(); i++) reports[i].plan.rate = 100'000 * static_cast<double>(i + 1);
  reports.push_back(example());  // flat out: not in the plot
  for (Report& report : reports) report.knee = 200'000;
  reports[2].result.lost = 1;
  const std::string svg = to_svg(reports, "a < b & c");
  const auto count = [&](const std::string& what) {
    size_t found = 0;
    for (size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) found++;
    return found;
  };
  EXPECT_EQ(count("r=\"3\""), 3u * 4u);
  EXPECT_EQ(count("<polyline"), 4u);
  EXPECT_EQ(count("a &lt; b &amp; c"), 1u);
  EXPECT_EQ(count("knee 200000/s"), 1u);
  EXPECT_EQ(count("not whole"), 1u);
  EXPECT_EQ(count("nan"), 0u);
  EXPECT_EQ(svg.find("</svg>") + 7, svg.size());
}

TEST(ReportSvg, WithoutPacedRunsSaysSo) { EXPECT_NE(to_svg({}, "none").find("no paced run"), std::string::npos); }

}  // namespace
}  // namespace talaria::load
