#include "dpdk-app/host_checks.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "dpdk-app/host_report.h"

namespace talaria::app {
namespace {

namespace fs = std::filesystem;

constexpr unsigned exit_latency_max_us = 2;  // of a sleep state that nobody notices
constexpr size_t named_max = 8;              // of interrupts in one sentence

// "1,3-5", as the kernel writes and takes it.
std::string to_list(const std::set<unsigned>& numbers) {
  std::string text;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const unsigned first = *at;
    unsigned last = first;
    while (++at != numbers.end() && *at == last + 1) last = *at;
    text += (text.empty() ? "" : ",") + std::to_string(first);
    if (last != first) text += "-" + std::to_string(last);
  }
  return text;
}

bool is_number(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

unsigned long to_number(const std::string& text) { return strtoul(text.c_str(), nullptr, 10); }

template <class... Parts>
std::string joined(const Parts&... parts) {
  std::string text;
  (text.append(parts), ...);
  return text;
}

class Checks {
 public:
  Checks(const std::string& root, const HostQuestion& question)
      : root_(root), question_(question), workers_(question.workers.begin(), question.workers.end()) {}

  std::vector<std::string> run() {
    isolation();
    sleep_states();
    interrupts();
    siblings();
    real_time_budget();
    memory();
    others();
    return std::move(found_);
  }

 private:
  std::string line(const std::string& path) const {
    std::ifstream file(root_ + path);
    std::string text;
    std::getline(file, text);
    return text;
  }
  static std::string processor(unsigned number) { return "/sys/devices/system/cpu/cpu" + std::to_string(number); }
  std::vector<std::string> entries(const std::string& path) const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root_ + path, error)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }
  void complain(std::string text) { found_.push_back(std::move(text)); }

  // The processors of a boot parameter, flags like `domain,` before them left out.
  std::set<unsigned> boot_list(const std::string& name) const {
    const std::string text = " " + line("/proc/cmdline");
    const size_t at = text.find(" " + name + "=");
    if (at == std::string::npos) return {};
    std::string value = text.substr(at + name.size() + 2);
    value = value.substr(0, value.find(' '));
    if (value == "all") return workers_;
    const size_t digit = value.find_first_of("0123456789");
    if (digit == std::string::npos) return {};
    const auto list = parse_kernel_list(value.substr(digit));
    return {list.begin(), list.end()};
  }
  std::set<unsigned> missing_in(const std::vector<unsigned>& list) const {
    std::set<unsigned> missing = workers_;
    for (unsigned each : list) missing.erase(each);
    return missing;
  }

  void isolation() {
    std::string missing;
    auto add = [&](const char* name, const std::set<unsigned>& lacking) {
      if (!lacking.empty()) missing += (missing.empty() ? "" : " ") + std::string(name) + "=" + to_list(workers_);
    };
    add("isolcpus", missing_in(parse_kernel_list(line("/sys/devices/system/cpu/isolated"))));
    add("nohz_full", missing_in(parse_kernel_list(line("/sys/devices/system/cpu/nohz_full"))));
    // nohz_full brings it along.
    std::set<unsigned> callbacks = boot_list("rcu_nocbs");
    callbacks.merge(boot_list("nohz_full"));
    add("rcu_nocbs", missing_in({callbacks.begin(), callbacks.end()}));
    if (!missing.empty())
      complain(
          "the kernel puts work of its own and of others on the workers' cores: " + missing +
          " belongs into GRUB_CMDLINE_LINUX in /etc/default/grub (now: /proc/cmdline), then update-grub and reboot");
  }

  void sleep_states() {
    if (question_.sleep_states_out) return;
    for (unsigned worker : workers_) {
      const std::string directory = processor(worker) + "/cpuidle";
      std::string states, files;
      for (const std::string& state : entries(directory)) {
        if (!state.starts_with("state")) continue;
        const std::string path = joined(directory, "/", state);
        const std::string latency = line(path + "/latency");
        if (line(path + "/disable") == "1" || !is_number(latency) || to_number(latency) <= exit_latency_max_us)
          continue;
        states += joined(states.empty() ? "" : ", ", line(path + "/name"), " (", latency, " us)");
        files += joined(files.empty() ? "" : " ", path, "/disable");
      }
      if (!states.empty())
        complain(joined("core ", std::to_string(worker), " may fall into sleep states that it leaves late: ", states,
                        ": write 1 into ", files));
    }
  }

  void interrupts() {
    std::set<unsigned> numbers, reached;
    for (const std::string& name : entries("/proc/irq")) {
      const std::string directory = "/proc/irq/" + name;
      if (!is_number(name) || !has_handler(directory)) continue;
      for (unsigned each : parse_kernel_list(line(directory + "/smp_affinity_list")))
        if (workers_.contains(each)) {
          numbers.insert(static_cast<unsigned>(to_number(name)));
          reached.insert(each);
        }
    }
    if (numbers.empty()) return;
    std::string names;
    for (size_t i = 0; unsigned each : numbers) {
      if (i++ == named_max) {
        names += " and " + std::to_string(numbers.size() - named_max) + " more";
        break;
      }
      names += (names.empty() ? "" : " ") + std::to_string(each);
    }
    complain("interrupts " + names + " may come to core " + to_list(reached) + ": write " +
             std::to_string(question_.control) +
             " into /proc/irq/N/smp_affinity_list of each, and stop irqbalance or ban these cores in it");
  }
  // An action's name is a directory beside the affinity; nothing comes of a number without one.
  bool has_handler(const std::string& directory) const {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root_ + directory, error))
      if (entry.is_directory(error)) return true;
    return false;
  }

  void siblings() {
    for (unsigned worker : workers_) {
      const std::string path = processor(worker) + "/topology/thread_siblings_list";
      std::set<unsigned> others;
      for (unsigned each : parse_kernel_list(line(path)))
        if (each != worker && line(processor(each) + "/online") != "0") others.insert(each);
      if (others.empty()) continue;
      std::string user = "whatever runs there";
      if (others.contains(question_.control)) user = "the control thread";
      for (unsigned each : others)
        if (workers_.contains(each)) user = "another worker";
      complain(joined("core ", std::to_string(worker), " shares its execution units with ", to_list(others), " (", path,
                      "), and so with ", user, ": choose other --cores, or write 0 into ", processor(*others.begin()),
                      "/online"));
    }
  }

  void real_time_budget() {
    const std::string path = "/proc/sys/kernel/sched_rt_runtime_us";
    const std::string runtime = line(path), period = line("/proc/sys/kernel/sched_rt_period_us");
    if (!question_.fifo || !is_number(runtime) || !is_number(period) || to_number(runtime) >= to_number(period)) return;
    complain("the kernel may take " + std::to_string((to_number(period) - to_number(runtime)) / 1000) +
             " ms of every " + std::to_string(to_number(period) / 1000) +
             " ms from a worker under SCHED_FIFO: write -1 into " + path);
  }

  void memory() {
    std::ifstream swaps(root_ + "/proc/swaps");
    std::string head, swap;
    std::getline(swaps, head);
    if (std::getline(swaps, swap))
      complain(
          "the host swaps to " + swap.substr(0, swap.find_first_of(" \t")) +
          " (/proc/swaps): others wait for the disk with locks that the kernel shares: swapoff -a, and remove it from "
          "/etc/fstab");
    const std::string huge = "/sys/kernel/mm/transparent_hugepage/enabled";
    if (line(huge).find("[always]") != std::string::npos)
      complain(
          "the kernel puts transparent huge pages together for everybody, and moves memory for it: write madvise "
          "into " +
          huge);
    const std::string balancing = "/proc/sys/kernel/numa_balancing";
    if (const std::string value = line(balancing); is_number(value) && value != "0")
      complain("the kernel unmaps pages now and then to see which node uses them: write 0 into " + balancing);
    const std::string merging = "/sys/kernel/mm/ksm/run";
    if (line(merging) == "1") complain("the kernel looks for equal pages to merge: write 0 into " + merging);
  }

  void others() {
    const std::string watchdog = "/proc/sys/kernel/nmi_watchdog";
    if (line(watchdog) == "1")
      complain(
          "a watchdog interrupts every core that does not sleep, for some microseconds every few seconds: write 0 "
          "into " +
          watchdog);
  }

  const std::string& root_;
  const HostQuestion& question_;
  std::set<unsigned> workers_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> host_checks(const std::string& root, const HostQuestion& question) {
  return Checks(root, question).run();
}

}  // namespace talaria::app
