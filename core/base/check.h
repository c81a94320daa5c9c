// CHECK: a statement about our own code that must hold, in release builds too. Never used on a peer's input.
#pragma once

namespace talaria::base {

// Prints the broken statement and where it stands to stderr, then aborts. Never returns.
[[noreturn]] void check_failed(const char* statement, const char* file, int line) noexcept;

}  // namespace talaria::base

#define CHECK(statement)                                       \
  (__builtin_expect(static_cast<bool>(statement), 1) ? (void)0 \
                                                     : ::talaria::base::check_failed(#statement, __FILE__, __LINE__))
