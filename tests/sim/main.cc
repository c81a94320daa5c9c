// The simulator's command line. Every run is a child process of its own, so that one that crashes, hangs or leaks is
// one failure and not the end; a run that failed is repeated with a packet capture, which one seed = one run makes
// possible.
//
//   sim --runs 300                       seeds 1 to 300
//   sim --seed 17 [--trace]              one seed again, with every step on stderr
//   sim --plant drop-requeue --runs 10   with a planted bug: these runs must fail
//   sim --matrix [--every 9]             the cells of matrix.h, or every ninth; prints the table
//   sim --conversation [--every 9]       one conversation, again and again, without its first frame, its second, ...
//   sim --deaths [--every 9]             another, in which a client dies after its first frame, its second, ..., in
//   each
//                                        of three ways
//   sim --self-test                      every planted bug is found, and a run repeats itself exactly
//
// Closes with a line `N passed, N failed`.

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/matrix.h"
#include "tests/sim/matrix_table.h"
#include "tests/sim/run.h"
#include "tests/sim/world.h"

namespace talaria::sim {
namespace {

struct CommandLine {
  std::optional<uint64_t> seed;
  uint64_t from = 1;
  uint64_t runs = 1;
  std::string scenario;
  Plant plant = Plant::none;
  bool trace = false;
  bool self_test = false;
  bool matrix = false;
  bool conversation = false;
  bool deaths = false;
  uint64_t every = 1;
  std::string document;  // gets the table
  bool verbose = false;
  unsigned jobs = 1;
  unsigned seconds_max = 120;  // of one run, on a real clock: beyond, it hangs
  std::string capture_directory = "build";
};

struct Outcome {
  bool held = false;
  RunReport report;
  std::string text;  // summary, or what went wrong
};

std::string replay_command(const RunOptions& options) {
  std::string command = "make sim SEED=" + std::to_string(options.seed);
  if (!options.scenario.empty()) command += " SCENARIO=" + options.scenario;
  if (options.plant != Plant::none) command += " PLANT=" + std::string(name_of(options.plant));
  return command;
}

// ---- a run in a child -----------------------------------------------------------------------------------------------

struct Child {
  pid_t process = 0;
  int output = -1;
  std::string text;
};

Child start_child(const RunOptions& options, const std::string& capture_path, unsigned seconds_max) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe");
  std::fflush(nullptr);
  const pid_t process = fork();
  if (process < 0) throw std::runtime_error("fork");
  if (process > 0) {
    close(ends[1]);
    return {process, ends[0], {}};
  }
  close(ends[0]);
  // What a broken CHECK or a sanitizer says goes to the parent too.
  if (!options.trace) dup2(ends[1], STDERR_FILENO);
  alarm(seconds_max);
  int status = 1;
  try {
    std::unique_ptr<Capture> capture;
    RunOptions mine = options;
    if (!capture_path.empty()) {
      capture = std::make_unique<Capture>(capture_path);
      mine.capture = capture.get();
    }
    const RunReport report = run(mine);
    dprintf(ends[1], "%016lx %d %.6g %s\n", report.fingerprint, report.planted, report.figure, report.summary.c_str());
    status = 0;
  } catch (const std::exception& error) {
    dprintf(ends[1], "%s\n", error.what());
  }
  close(ends[1]);
  std::exit(status);  // so that a leak checker has its say
}

Outcome finish_child(Child& child, unsigned seconds_max) {
  char buffer[4096];
  for (ssize_t count; (count = read(child.output, buffer, sizeof buffer)) > 0;)
    child.text.append(buffer, static_cast<size_t>(count));
  close(child.output);
  int status = 0;
  waitpid(child.process, &status, 0);
  Outcome outcome;
  outcome.text = child.text;
  while (!outcome.text.empty() && outcome.text.back() == '\n') outcome.text.pop_back();
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    outcome.text += signal == SIGALRM ? "hangs: not finished after " + std::to_string(seconds_max) + " s"
                                      : std::string(" [") + strsignal(signal) + "]";
    return outcome;
  }
  if (WEXITSTATUS(status) != 0) return outcome;
  char* rest = nullptr;
  outcome.held = true;
  outcome.report.fingerprint = std::strtoull(child.text.c_str(), &rest, 16);
  outcome.report.planted = std::strtol(rest, &rest, 10) != 0;
  outcome.report.figure = std::strtod(rest, &rest);
  outcome.text.erase(0, static_cast<size_t>(rest + 1 - child.text.c_str()));
  return outcome;
}

Outcome run_in_child(const RunOptions& options, const std::string& capture_path, unsigned seconds_max) {
  Child child = start_child(options, capture_path, seconds_max);
  return finish_child(child, seconds_max);
}

// ---- many runs ------------------------------------------------------------------------------------------------------

void tell_failure(const CommandLine& line, const RunOptions& options, const Outcome& outcome) {
  const std::string capture = line.capture_directory + "/sim-" + std::to_string(options.seed) + ".pcap";
  const Outcome again = run_in_child(options, capture, line.seconds_max);
  std::printf("seed %lu failed (%s): %s\n    replay:  %s\n    capture: %s\n", options.seed,
              (options.scenario.empty() ? scenario_of(options.seed) : options.scenario).c_str(), outcome.text.c_str(),
              replay_command(options).c_str(), capture.c_str());
  if (again.text != outcome.text) std::printf("    the second time it was: %s\n", again.text.c_str());
  std::fflush(stdout);
}

// Seeds first, first + step, ... up to last, in this order for `on_outcome`. Returns the exit status.
int run_many(const CommandLine& line, uint64_t first, uint64_t last, uint64_t step,
             const std::function<void(uint64_t seed, const Outcome&)>& on_outcome = {}) {
  uint64_t passed = 0, failed = 0;
  std::map<uint64_t, Child> running;  // in the order of their seeds
  const auto options_of = [&line](uint64_t seed) {
    return RunOptions{.seed = seed, .scenario = line.scenario, .plant = line.plant, .trace = line.trace};
  };
  for (uint64_t next = first; next <= last || !running.empty();) {
    while (running.size() < line.jobs && next <= last) {
      running.emplace(next, start_child(options_of(next), "", line.seconds_max));
      next += step;
    }
    auto oldest = running.begin();
    const Outcome outcome = finish_child(oldest->second, line.seconds_max);
    if (outcome.held && (first == last || line.verbose))
      std::printf("seed %lu held: %s [%016lx]\n", oldest->first, outcome.text.c_str(), outcome.report.fingerprint);
    outcome.held ? passed++ : failed++;
    if (!outcome.held) tell_failure(line, options_of(oldest->first), outcome);
    if (on_outcome) on_outcome(oldest->first, outcome);
    running.erase(oldest);
  }
  std::printf("%lu passed, %lu failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

int run_seeds(const CommandLine& line) {
  const uint64_t first = line.seed.value_or(line.from);
  return run_many(line, first, line.seed ? first : first + line.runs - 1, 1);
}

int run_matrix(CommandLine line) {
  line.scenario = "matrix";
  MatrixTable table;
  const int status = run_many(line, 1, cell_count(), line.every, [&table](uint64_t cell, const Outcome& outcome) {
    table.add(cell, outcome.held ? outcome.report.figure : 0);
  });
  std::printf("%s", table.markdown().c_str());
  if (!line.document.empty() && !write_between_marks(line.document, "matrix", table.markdown())) {
    std::printf("%s has no place for the table\n", line.document.c_str());
    return 1;
  }
  return status;
}

// A scenario whose seeds are what can happen in one conversation, and whose figure says how many that are.
int run_each(CommandLine line, const std::string& scenario) {
  line.scenario = scenario;
  const Outcome whole = run_in_child({.seed = 0, .scenario = line.scenario}, "", line.seconds_max);
  if (!whole.held) {
    std::printf("the conversation fails by itself: %s\n0 passed, 1 failed\n", whole.text.c_str());
    return 1;
  }
  std::printf("%s\n", whole.text.c_str());
  return run_many(line, 1, static_cast<uint64_t>(whole.report.figure), line.every);
}

// ---- the self-test --------------------------------------------------------------------------------------------------

int self_test(const CommandLine& line) {
  constexpr uint64_t seeds_per_plant = 60, enough = 2;
  uint64_t passed = 0, failed = 0;
  const auto verdict = [&](bool good, const std::string& what) {
    std::printf("%s: %s\n", good ? "ok" : "FAILED", what.c_str());
    good ? passed++ : failed++;
  };
  const std::vector<std::pair<Plant, std::string>> plants{
      {Plant::lost_segment, "tcp"},       {Plant::drop_requeue, "amqp"},        {Plant::lost_publish, "amqp"},
      {Plant::swapped_publishes, "amqp"}, {Plant::unmarked_redelivery, "amqp"}, {Plant::lost_in_a_move, "amqp"},
      {Plant::hasty_last_word, "amqp"},   {Plant::early_answer, "amqp"},        {Plant::hasty_delay, "amqp"},
      {Plant::every_choice, "amqp"},      {Plant::random_hash, "amqp"},         {Plant::all_values, "amqp"},
      {Plant::duplicates, "amqp"},        {Plant::no_policies, "amqp"},         {Plant::short_patience, "amqp"},
      {Plant::no_flow_limit, "amqp"},     {Plant::no_groups, "amqp"},           {Plant::short_pace, "amqp"},
      {Plant::endless_pace, "amqp"},      {Plant::no_history, "amqp"},          {Plant::lost_event, "amqp"},
      {Plant::half_traced, "amqp"},       {Plant::secret_queue, "amqp"},        {Plant::repeats, "amqp"},
      {Plant::no_copies, "amqp"},         {Plant::unrevoked, "amqp"},           {Plant::any_name, "amqp"},
      {Plant::dropped_reply, "amqp"},
  };
  for (const auto& [plant, scenario] : plants) {
    uint64_t found = 0, survived = 0;
    std::string example;
    for (uint64_t seed = 1; seed <= seeds_per_plant && found < enough; seed++) {
      const Outcome outcome = run_in_child({.seed = seed, .scenario = scenario, .plant = plant}, "", line.seconds_max);
      if (!outcome.held) example = outcome.text;
      found += !outcome.held;
      survived += outcome.held && outcome.report.planted;
    }
    verdict(found > 0, "planted " + std::string(name_of(plant)) + ": found in " + std::to_string(found) +
                           " runs, unnoticed in " + std::to_string(survived) + "; " + example);
  }
  for (const char* scenario : {"tcp", "amqp"}) {
    const RunOptions options{.seed = 7, .scenario = scenario};
    const Outcome first = run_in_child(options, "", line.seconds_max);
    const Outcome second = run_in_child(options, "", line.seconds_max);
    verdict(first.held && first.report.fingerprint == second.report.fingerprint,
            std::string("a run of ") + scenario + " repeats itself exactly: " + first.text);
  }
  std::printf("%lu passed, %lu failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

int run_main(int argc, char** argv) {
  CLI::App app("Talaria's deterministic simulator: one seed is one run.");
  CommandLine line;
  std::string plant = "none";
  app.add_option("--seed", line.seed, "run this seed alone");
  app.add_option("--from", line.from, "first seed of many")->capture_default_str();
  app.add_option("--runs", line.runs, "how many seeds")->capture_default_str();
  app.add_option("--scenario", line.scenario,
                 "tcp or amqp; by default the seed chooses. Or matrix, conversation, deaths")
      ->check(CLI::IsMember({"tcp", "amqp", "matrix", "conversation", "deaths"}));
  app.add_option("--plant", plant, "plant a bug, to see it found")->check([](const std::string& name) {
    return plant_named(name) ? "" : "no such plant";
  });
  app.add_option("--jobs", line.jobs, "runs at a time")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--seconds-max", line.seconds_max, "real time one run may take")->capture_default_str();
  app.add_option("--capture-directory", line.capture_directory, "where captures of failed runs go")
      ->capture_default_str();
  app.add_flag("--trace", line.trace, "every step on stderr");
  app.add_flag("--verbose", line.verbose, "a line for every run that held");
  app.add_flag("--matrix", line.matrix, "goodput in every cell of loss, delay, rate, buffers, ...");
  app.add_flag("--conversation", line.conversation, "lose every frame of a conversation in turn");
  app.add_flag("--deaths", line.deaths, "let a client die after every frame of a conversation in turn, in three ways");
  app.add_option("--every", line.every, "of cells and frames only every so many-th")->check(CLI::PositiveNumber);
  app.add_option("--document", line.document, "where the matrix's table goes, between its marks");
  app.add_flag("--self-test", line.self_test, "check that the simulator still finds planted bugs");
  CLI11_PARSE(app, argc, argv);
  line.plant = plant_named(plant).value();
  if (line.matrix) return run_matrix(line);
  if (line.conversation) return run_each(line, "conversation");
  if (line.deaths) return run_each(line, "deaths");
  return line.self_test ? self_test(line) : run_seeds(line);
}

}  // namespace
}  // namespace talaria::sim

int main(int argc, char** argv) { return talaria::sim::run_main(argc, argv); }
