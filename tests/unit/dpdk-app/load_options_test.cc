#include "dpdk-app/load_options.h"

#include <gtest/gtest.h>

namespace talaria::app {
namespace {

std::expected<LoadSettings, Ending> read(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "talaria-load");
  return read_load_options(static_cast<int>(arguments.size()), arguments.data());
}
// What is said when it is refused.
std::string refusal(std::vector<const char*> arguments) {
  auto settings = read(std::move(arguments));
  if (settings) return "";
  EXPECT_EQ(settings.error().status, 2);
  return settings.error().text;
}
bool refused(std::vector<const char*> arguments, const std::string& with) {
  const std::string text = refusal(std::move(arguments));
  EXPECT_NE(text.find(with), std::string::npos) << "said: " << text;
  return !text.empty();
}

TEST(LoadOptions, Defaults) {
  const auto settings = read({});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->transport, Transport::rings);
  EXPECT_FALSE(settings->plan.paced());
  EXPECT_EQ(settings->plan.sizes.size(), 1u);
  EXPECT_EQ(settings->plan.sizes[0].bytes, 100u);
  EXPECT_TRUE(settings->ceiling);
  EXPECT_FALSE(settings->ramp);
  EXPECT_FALSE(settings->huge_pages) << "the host decides";
}

TEST(LoadOptions, EverythingThatIsSaidIsHeard) {
  const auto settings = read({"--producers", "3",        "--consumers",  "4",       "--queues",   "2",
                              "--exchange",  "topic",    "--bindings",   "10",      "--size",     "16,100:3",
                              "--acks",      "multiple", "--prefetch",   "7",       "--confirms", "9",
                              "--in-flight", "11",       "--rate",       "5000",    "--seconds",  "1.5",
                              "--warm-up",   "0.25",     "--drain",      "3",       "--runs",     "5",
                              "--mtu",       "9000",     "--checksums",  "--cores", "1,0",        "--memory-mib",
                              "64",          "--huge",   "--no-ceiling", "--json",  "--label",    "x",
                              "--json-file", "f",        "--prefix",     "p"});
  ASSERT_TRUE(settings) << settings.error().text;
  const load::Plan& plan = settings->plan;
  EXPECT_EQ(plan.producers, 3u);
  EXPECT_EQ(plan.consumers, 4u);
  EXPECT_EQ(plan.queues, 2u);
  EXPECT_EQ(plan.exchange, load::ExchangeKind::topic);
  EXPECT_EQ(plan.bindings, 10u);
  EXPECT_EQ(plan.sizes.size(), 2u);
  EXPECT_EQ(plan.acks, load::Acks::multiple);
  EXPECT_EQ(plan.prefetch, 7);
  EXPECT_EQ(plan.confirm_window, 9u);
  EXPECT_EQ(plan.in_flight, 11u);
  EXPECT_EQ(plan.rate, 5000);
  EXPECT_EQ(plan.window, std::chrono::milliseconds(1500));
  EXPECT_EQ(plan.warm_up, std::chrono::milliseconds(250));
  EXPECT_EQ(plan.drain_patience, std::chrono::seconds(3));
  EXPECT_EQ(plan.prefix, "p");
  EXPECT_EQ(settings->runs, 5u);
  EXPECT_EQ(settings->base.ports[0].mtu, 9000);
  EXPECT_TRUE(settings->checksums);
  EXPECT_EQ(settings->cores, (std::vector<unsigned>{1, 0}));
  EXPECT_EQ(settings->base.memory_mib, 64u);
  EXPECT_EQ(settings->huge_pages, true);
  EXPECT_FALSE(settings->ceiling);
  EXPECT_TRUE(settings->json);
  EXPECT_EQ(settings->label, "x");
  EXPECT_EQ(settings->json_file, "f");
}

TEST(LoadOptions, ARamp) {
  const auto settings =
      read({"--ramp", "--ramp-from", "1000", "--ramp-to", "9000", "--ramp-p99-us", "50", "--svg", "s"});
  ASSERT_TRUE(settings) << settings.error().text;
  ASSERT_TRUE(settings->ramp);
  EXPECT_EQ(settings->ramp->from, 1000);
  EXPECT_EQ(settings->ramp->to, 9000);
  EXPECT_EQ(settings->ramp->p99_max, std::chrono::microseconds(50));
  EXPECT_EQ(settings->svg_file, "s");
  EXPECT_TRUE(refused({"--ramp", "--rate", "5"}, "--ramp looks for the rate"));
  EXPECT_TRUE(refused({"--ramp", "--runs", "5"}, "--runs has no place"));
  EXPECT_TRUE(refused({"--ramp-to", "5"}, "--ramp-to needs --ramp"));
  EXPECT_TRUE(refused({"--svg", "f"}, "--svg needs --ramp"));
  EXPECT_TRUE(refused({"--ramp", "--ramp-from", "5000", "--ramp-to", "1000"}, "from <= to"));
}

TEST(LoadOptions, ToAnotherProcess) {
  const auto memif = read({"--transport", "memif", "--memif-socket", "/tmp/s", "--address", "10.0.0.3/16", "--broker",
                           "10.0.0.2:5673", "--cores", "1", "--user", "u", "--password", "p", "--vhost", "v"});
  ASSERT_TRUE(memif) << memif.error().text;
  EXPECT_EQ(memif->base.ports[0].vdev, "net_memif0,role=client,socket=/tmp/s,socket-abstract=no");
  EXPECT_EQ(net::to_text(memif->base.ports[0].addresses.at(0)), "10.0.0.3/16");
  EXPECT_EQ(net::to_text(memif->broker_address), "10.0.0.2");
  EXPECT_EQ(memif->broker_port, 5673);
  EXPECT_EQ(memif->plan.user, "u");
  EXPECT_EQ(memif->plan.password, "p");
  EXPECT_EQ(memif->plan.vhost, "v");
  const auto port = read({"--transport", "port", "--port", "01:00.0"});
  ASSERT_TRUE(port) << port.error().text;
  EXPECT_EQ(port->base.ports[0].pci_port, "0000:01:00.0");
}

TEST(LoadOptions, WhatMeansNothingIsRefused) {
  EXPECT_TRUE(refused({"--vdev", "net_null0"}, "means nothing with --transport rings"));
  EXPECT_TRUE(refused({"--broker", "10.0.0.1"}, "means nothing with --transport rings"));
  EXPECT_TRUE(refused({"--user", "x"}, "means nothing with --transport rings"));
  EXPECT_TRUE(refused({"--transport", "memif", "--checksums"}, "means nothing with --transport memif"));
  EXPECT_TRUE(refused({"--transport", "memif", "--memory-mib", "64"}, "means nothing with --transport memif"));
  EXPECT_TRUE(refused({"--transport", "port"}, "needs one of --port, --vdev and --tap"));
  EXPECT_TRUE(refused({"--transport", "port", "--vdev", "net_null0", "--tap", "t0"}, "needs one of --port"));
  EXPECT_TRUE(refused({"--transport", "port", "--tap", "a/b"}, "--tap: "));
  EXPECT_TRUE(refused({"--transport", "port", "--vdev", "eth0"}, "--vdev: "));
  EXPECT_TRUE(refused({"--transport", "port", "--vdev", "net_tap0", "--broker", "10.0.0.1:0"}, "has no TCP port"));
  EXPECT_TRUE(refused({"--cores", "1"}, "there are 2 of them"));
  EXPECT_TRUE(refused({"--size", "ten"}, "--size: 'ten'"));
  EXPECT_TRUE(refused({"--seconds", "-1"}, "--seconds"));
  EXPECT_TRUE(refused({"--json", "--row"}, "--row"));
  EXPECT_TRUE(refused({"--prefetch", "1"}, "prefetch bounds nothing"));
  EXPECT_TRUE(refused({"--exchange", "round"}, "--exchange"));
}

TEST(LoadOptions, HelpEndsWithStatusZero) {
  const auto help = read({"--help"});
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().status, 0);
  EXPECT_NE(help.error().text.find("--ramp-p99-us"), std::string::npos);
}

}  // namespace
}  // namespace talaria::app
