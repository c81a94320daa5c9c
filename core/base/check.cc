#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace talaria::base {

void check_failed(const char* statement, const char* file, int line) noexcept {
  std::fprintf(stderr, "%s:%d: CHECK(%s) does not hold\n", file, line, statement);
  std::abort();
}

}  // namespace talaria::base
