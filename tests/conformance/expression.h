// Whole numbers in scripts: `2 * i + 1`, `tcp.half_open_entries <= 4`, `b.isn - a.isn`.
//
//   comparison: sum [(== != <= >= < >) sum]     1 or 0     sum: product {(+ -) product}
//   product:    factor {(* / %) factor}                    factor: number | name | (comparison) | - factor
//
// Names are letters, digits, '_' and '.'; what they mean is the caller's affair.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace talaria::conformance {

// Gives a name's value or throws Failure.
using Lookup = std::function<int64_t(std::string_view name)>;

// Throws Failure if `text` is no expression.
int64_t evaluate(std::string_view text, const Lookup& lookup);

// Replaces each [EXPRESSION] by its value in decimal.
std::string substitute(std::string_view text, const Lookup& lookup);

}  // namespace talaria::conformance
