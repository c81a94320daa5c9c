// What is wrong with a script, or with the stack that it holds against the RFCs: a sentence. The interpreter adds
// where.
#pragma once

#include <stdexcept>

namespace talaria::conformance {

class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace talaria::conformance
