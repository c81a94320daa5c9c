// Holds the TCP stack against the scripts of tests/conformance/scripts.
//
//   conformance [SCRIPT...]          these, or all; `N of 70` and a closing line `N passed, N failed, N skipped`
//   conformance --self-test          the scripts of tests/conformance/wrong, each of which the interpreter must refuse
//
// A script whose header says that the stack does not do it yet is expected to fail: it counts as skipped, and as failed
// when it does not fail any more (its header has to be changed then).
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "tests/conformance/error.h"
#include "tests/conformance/interpreter.h"

namespace {

using namespace talaria::conformance;

constexpr int behaviours = 70;

std::vector<std::string> scripts_below(const char* folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".pkt") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// What went wrong; empty if nothing did.
std::string outcome_of(const Script& script) {
  try {
    Interpreter(script).run();
    return {};
  } catch (const Failure& failure) {
    return failure.what();
  }
}

struct Sums {
  int passed = 0, failed = 0, skipped = 0;
  std::set<int> holding, broken;  // behaviours
  int more = 0;
};

void run_one(const std::string& path, Sums& sums) {
  Script script;
  try {
    script = read_script(path);
    check_header(script);
  } catch (const Failure& failure) {
    std::printf("NOT OK  %s: %s\n", path.c_str(), failure.what());
    sums.failed++;
    return;
  }
  std::printf("%s ... ", script.name.c_str());
  const std::string failure = outcome_of(script);
  if (failure.empty() && script.state.empty()) {
    std::printf("ok\n");
    sums.passed++;
    if (script.listed > 0)
      sums.holding.insert(script.listed);
    else
      sums.more++;
    return;
  }
  if (script.listed > 0) sums.broken.insert(script.listed);
  if (failure.empty()) {
    std::printf("NOT OK\n  it holds now, though its header says \"state: %s\"\n", script.state.c_str());
    sums.failed++;
  } else if (script.state.empty()) {
    std::printf("NOT OK\n  %s\n", failure.c_str());
    sums.failed++;
  } else {
    std::printf("expected to fail: %s\n", script.state.c_str());
    sums.skipped++;
  }
}

int run_all(const std::vector<std::string>& paths, bool whole_list) {
  Sums sums;
  for (const std::string& path : paths) run_one(path, sums);
  if (whole_list) {
    int holding = 0;
    for (int number = 1; number <= behaviours; number++) {
      const bool listed = sums.holding.contains(number) || sums.broken.contains(number);
      if (sums.holding.contains(number) && !sums.broken.contains(number)) holding++;
      if (listed) continue;
      std::printf("NOT OK  behaviour %d has no script\n", number);
      sums.failed++;
    }
    std::printf("%d of %d behaviours hold, and %d scripts more\n", holding, behaviours, sums.more);
  }
  std::printf("%d passed, %d failed, %d skipped\n", sums.passed, sums.failed, sums.skipped);
  return sums.failed > 0 || sums.passed == 0;
}

int self_test() {
  int passed = 0, failed = 0;
  for (const std::string& path : scripts_below("tests/conformance/wrong")) {
    std::string said, wanted;
    try {
      const Script script = read_script(path);
      wanted = script.fails;
      check_header(script);
      said = outcome_of(script);
    } catch (const Failure& failure) {
      said = failure.what();
    }
    const bool found = !wanted.empty() && said.find(wanted) != std::string::npos;
    found ? passed++ : failed++;
    std::printf("%s ... %s\n", path.c_str(), found ? "ok" : "NOT OK");
    if (!found) std::printf("  it should say \"%s\" and says \"%s\"\n", wanted.c_str(), said.c_str());
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed > 0 || passed == 0;
}

}  // namespace

int main(int count, char** words) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::vector<std::string> arguments(words + 1, words + count);
  if (arguments == std::vector<std::string>{"--self-test"}) return self_test();
  if (!arguments.empty() && arguments[0][0] == '-') {
    std::fprintf(stderr, "conformance [SCRIPT...] | --self-test\n");
    return 2;
  }
  return arguments.empty() ? run_all(scripts_below("tests/conformance/scripts"), true) : run_all(arguments, false);
}
