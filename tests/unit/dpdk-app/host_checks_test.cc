#include "dpdk-app/host_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace talaria::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A /sys and /proc of our own: four processors, two to a core, workers on 2 and 3. Nothing to complain of.
class HostChecks : public ::testing::Test {
 protected:
  HostChecks() {
    write("/proc/cmdline", "root=/dev/vda isolcpus=domain,managed_irq,2-3 nohz_full=2-3 quiet");
    write("/sys/devices/system/cpu/isolated", "2-3");
    write("/sys/devices/system/cpu/nohz_full", "2-3");
    for (unsigned processor = 0; processor < 4; processor++) {
      write(cpu(processor) + "/topology/thread_siblings_list", std::to_string(processor));
      write(cpu(processor) + "/cpuidle/state0/name", "POLL");
      write(cpu(processor) + "/cpuidle/state0/latency", "0");
      write(cpu(processor) + "/cpuidle/state0/disable", "0");
    }
    irq(24, "eth0", "0-1");
    write("/proc/sys/kernel/sched_rt_runtime_us", "-1");
    write("/proc/sys/kernel/sched_rt_period_us", "1000000");
    write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority");
    write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    write("/proc/sys/kernel/numa_balancing", "0");
    write("/proc/sys/kernel/nmi_watchdog", "0");
    write("/sys/kernel/mm/ksm/run", "0");
  }
  ~HostChecks() override { std::filesystem::remove_all(root); }

  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  static std::string cpu(unsigned number) { return "/sys/devices/system/cpu/cpu" + std::to_string(number); }
  // `name` empty: no handler.
  void irq(unsigned number, const std::string& name, const std::string& list) {
    write("/proc/irq/" + std::to_string(number) + "/smp_affinity_list", list);
    if (!name.empty()) std::filesystem::create_directories(root + "/proc/irq/" + std::to_string(number) + "/" + name);
  }
  std::vector<std::string> found() { return host_checks(root, question); }

  const std::string root = std::filesystem::temp_directory_path() / ("talaria-checks-" + std::to_string(getpid()));
  HostQuestion question{.workers = {2, 3}, .control = 0, .fifo = true, .sleep_states_out = false};
};

TEST_F(HostChecks, AHostInOrderIsNotComplainedOf) { EXPECT_THAT(found(), IsEmpty()); }

TEST_F(HostChecks, WhatTheHostDoesNotTellIsInOrder) {
  std::filesystem::remove_all(root);
  const auto lines = found();
  EXPECT_THAT(lines, ElementsAre(HasSubstr("isolcpus=2-3 nohz_full=2-3 rcu_nocbs=2-3"))) << "but for isolation";
}

TEST_F(HostChecks, IsolationNamesWhatIsMissing) {
  write("/sys/devices/system/cpu/isolated", "2");
  EXPECT_THAT(found(), ElementsAre(::testing::AllOf(HasSubstr(": isolcpus=2-3 belongs into GRUB_CMDLINE_LINUX"),
                                                    HasSubstr("/etc/default/grub"), HasSubstr("/proc/cmdline"))));
  write("/sys/devices/system/cpu/isolated", "2-3");
  write("/proc/cmdline", "isolcpus=2-3 rcu_nocbs=2");
  EXPECT_THAT(found(), ElementsAre(HasSubstr(": rcu_nocbs=2-3 belongs")));
  write("/proc/cmdline", "isolcpus=2-3 rcu_nocbs=all");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(HostChecks, SleepStatesThatAreLeftLate) {
  write(cpu(3) + "/cpuidle/state1/name", "C1");
  write(cpu(3) + "/cpuidle/state1/latency", "2");
  write(cpu(3) + "/cpuidle/state2/name", "C6");
  write(cpu(3) + "/cpuidle/state2/latency", "133");
  write(cpu(3) + "/cpuidle/state2/disable", "0");
  write(cpu(1) + "/cpuidle/state2/latency", "133");
  EXPECT_THAT(found(), ElementsAre("core 3 may fall into sleep states that it leaves late: C6 (133 us): write 1 into "
                                   "/sys/devices/system/cpu/cpu3/cpuidle/state2/disable"));
  question.sleep_states_out = true;
  EXPECT_THAT(found(), IsEmpty());
  question.sleep_states_out = false;
  write(cpu(3) + "/cpuidle/state2/disable", "1");
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(HostChecks, InterruptsThatMayComeToAWorker) {
  irq(25, "eth1", "0-2");
  irq(26, "", "2");
  EXPECT_THAT(found(), ElementsAre(::testing::AllOf(HasSubstr("interrupts 25 may come to core 2: write 0 into"),
                                                    HasSubstr("/proc/irq/N/smp_affinity_list"))));
  for (unsigned number = 30; number < 40; number++) irq(number, "disk", "0-3");
  EXPECT_THAT(found(), ElementsAre(HasSubstr("interrupts 25 30 31 32 33 34 35 36 and 3 more may come to core 2-3")));
}

TEST_F(HostChecks, SiblingsThatAreInUse) {
  write(cpu(2) + "/topology/thread_siblings_list", "2-3");
  write(cpu(3) + "/topology/thread_siblings_list", "2-3");
  EXPECT_THAT(found(), ElementsAre(HasSubstr("core 2 shares its execution units with 3"), HasSubstr("core 3")));
  EXPECT_THAT(found()[0], HasSubstr("another worker"));
  question.workers = {2};
  EXPECT_THAT(found(), ElementsAre(HasSubstr("write 0 into /sys/devices/system/cpu/cpu3/online")));
  write(cpu(3) + "/online", "0");
  EXPECT_THAT(found(), IsEmpty());
  write(cpu(2) + "/topology/thread_siblings_list", "0,2");
  EXPECT_THAT(found(), ElementsAre(HasSubstr("the control thread")));
}

TEST_F(HostChecks, TheKernelsShareOfSchedFifo) {
  write("/proc/sys/kernel/sched_rt_runtime_us", "950000");
  EXPECT_THAT(found(),
              ElementsAre("the kernel may take 50 ms of every 1000 ms from a worker under SCHED_FIFO: write -1 "
                          "into /proc/sys/kernel/sched_rt_runtime_us"));
  question.fifo = false;
  EXPECT_THAT(found(), IsEmpty());
}

TEST_F(HostChecks, WhatTheKernelDoesWithMemory) {
  write("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/vdb2 partition 1 0 -2");
  write("/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
  write("/proc/sys/kernel/numa_balancing", "1");
  write("/sys/kernel/mm/ksm/run", "1");
  EXPECT_THAT(found(), ElementsAre(HasSubstr("swaps to /dev/vdb2 (/proc/swaps)"),
                                   HasSubstr("write madvise into /sys/kernel/mm/transparent_hugepage/enabled"),
                                   HasSubstr("write 0 into /proc/sys/kernel/numa_balancing"),
                                   HasSubstr("write 0 into /sys/kernel/mm/ksm/run")));
}

TEST_F(HostChecks, TheWatchdog) {
  write("/proc/sys/kernel/nmi_watchdog", "1");
  EXPECT_THAT(found(), ElementsAre(HasSubstr("write 0 into /proc/sys/kernel/nmi_watchdog")));
}

}  // namespace
}  // namespace talaria::app
