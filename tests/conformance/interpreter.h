// Runs one script against a stack of its own. The language is described in docs/TESTING.md.
//
// Strict: every segment that the stack sends and every event that the application sees has a line that expects it, in
// order, at its time; so that "nothing happens" needs no line.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/conformance/expression.h"
#include "tests/conformance/line.h"
#include "tests/conformance/machine.h"
#include "tests/conformance/script.h"

namespace talaria::conformance {

class Interpreter {
 public:
  explicit Interpreter(const Script& script) : script_(script) {}

  // Throws Failure: PATH:LINE, what was expected and what came.
  void run();

 private:
  using Words = std::vector<std::string>;
  struct Wait {
    base::Duration least{}, most{};
    bool given = false;
  };

  void run_lines(size_t first, size_t last);
  size_t end_of_block(size_t first, size_t last) const;
  void run_line(std::string text);
  Wait take_wait(std::string& text) const;

  void configure(const Words& words);
  void converse(const Words& words);
  void establish(std::string_view rest);
  void inject(std::string_view rest);
  Frame arp_frame(const Words& words);
  Frame icmp_frame(const Words& words);
  Frame udp_frame(const Words& words);
  void expect(std::string_view rest, const Wait& wait);
  void expect_any(const Wait& wait);
  void expect_many(std::string_view rest);
  std::string mismatch(const Sent& sent, const Words& words);
  void application(const Words& words);
  void application_does(const Words& words);
  void sees(const std::string& event);
  void step();
  void nothing_unexpected(std::string_view before);

  int64_t look_up(std::string_view name);
  std::optional<int64_t> connection_value(const Conversation& conversation, std::string_view name);
  Lookup lookup() {
    return [this](std::string_view name) { return look_up(name); };
  }

  Machine& machine();
  Conversation& current() { return *current_; }

  const Script& script_;
  int line_ = 0;
  Settings settings_;
  std::unique_ptr<Machine> machine_;
  Conversation* current_ = nullptr;
  bool together_ = false;  // what arrives and is done waits for one turn
  std::map<std::string, int64_t, std::less<>> values_;
};

}  // namespace talaria::conformance
