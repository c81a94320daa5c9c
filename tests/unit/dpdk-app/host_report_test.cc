#include "dpdk-app/host_report.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace talaria::app {
namespace {

// A /sys and /proc of our own.
class FakeHost {
 public:
  ~FakeHost() { std::filesystem::remove_all(root); }
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  const std::string root = std::filesystem::temp_directory_path() / ("talaria-host-" + std::to_string(getpid()));
};

bool says(const std::vector<ReportLine>& lines, const std::string& words, bool warning) {
  for (const ReportLine& line : lines)
    if (line.text.find(words) != std::string::npos && line.warning == warning) return true;
  return false;
}

TEST(HostFacts, AreReadFromSysAndProc) {
  FakeHost host;
  host.write("/sys/devices/system/cpu/isolated", "2-3");
  host.write("/sys/devices/system/cpu/nohz_full", "3");
  host.write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "100");
  host.write("/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1");
  host.write("/proc/meminfo", "MemTotal: 4096 kB\nMemAvailable:    2048 kB");
  host.write("/proc/cpuinfo", "flags\t\t: fpu constant_tsc nonstop_tsc");
  const HostFacts facts = read_host_facts(host.root);
  EXPECT_EQ(facts.isolated, (std::vector<unsigned>{2, 3}));
  EXPECT_EQ(facts.without_ticks, std::vector<unsigned>{3});
  EXPECT_EQ(facts.huge_page_free_mib, 200u + 1024u);
  EXPECT_EQ(facts.memory_available_mib, 2u);
  EXPECT_TRUE(facts.invariant_clock);
  EXPECT_FALSE(facts.usable.empty());
}

TEST(HostFacts, NothingThereIsNothing) {
  const HostFacts facts = read_host_facts("/nonexistent");
  EXPECT_TRUE(facts.isolated.empty());
  EXPECT_EQ(facts.huge_page_free_mib, 0u);
  EXPECT_FALSE(facts.invariant_clock);
}

TEST(MissingMemory, IsSaidBeforeAnythingIsTaken) {
  HostFacts facts;
  facts.huge_page_free_mib = 100;
  facts.memory_available_mib = 1000;
  Settings settings;
  auto failure = missing_memory(facts, settings, 500);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->status, exit_memory);
  EXPECT_NE(failure->reason.find("scripts/setup-host"), std::string::npos);
  settings.huge_pages = false;
  EXPECT_FALSE(missing_memory(facts, settings, 500));
  EXPECT_TRUE(missing_memory(facts, settings, 1500));
}

TEST(HostReport, TellsIsolatedCoresFromOthers) {
  HostFacts facts;
  facts.isolated = {2};
  facts.without_ticks = {2};
  facts.invariant_clock = true;
  facts.governors = {{0, "powersave"}, {3, "powersave"}};
  facts.nodes = {{2, 0}, {3, 1}};
  Settings settings;
  settings.workers = 2;
  const CorePlan plan{.control = 0, .workers = {2, 3}};
  const PortFacts port{
      .name = "0000:01:00.0", .driver = "net_ice", .numa_node = 0, .queues = 2, .checksums_by_port = true};
  const auto lines = host_report(facts, settings, plan, {port});
  EXPECT_TRUE(says(lines, "worker 0 on core 2: isolated, no timer interrupt", false));
  EXPECT_TRUE(says(lines, "worker 1 on core 3: the core is not isolated", true));
  EXPECT_TRUE(says(lines, "worker 1 runs on NUMA node 1, the port is on node 0", true));
  EXPECT_TRUE(says(lines, "core 3 has the frequency governor 'powersave'", true));
  EXPECT_FALSE(says(lines, "core 0 has the frequency governor", true)) << "the control thread may be slow";
  EXPECT_TRUE(says(lines, "checksums by the port", false));
  EXPECT_TRUE(says(lines, "memory in huge pages: 512 MiB for messages a worker, on NUMA nodes 0 1", false));
}

TEST(HostReport, WarnsOfWhatCosts) {
  Settings settings;
  settings.workers = 2;
  settings.huge_pages = false;
  const auto lines =
      host_report({}, settings, {.control = 0, .workers = {1, 1}}, {{.name = "net_tap0", .driver = "net_tap"}});
  EXPECT_TRUE(says(lines, "it shares the core with another thread", true));
  EXPECT_TRUE(says(lines, "worker 0 receives and sends for all", true));
  EXPECT_TRUE(says(lines, "without huge pages", true));
  EXPECT_TRUE(says(lines, "not invariant", true));
}

}  // namespace
}  // namespace talaria::app
