// The headers exchange: a binding's arguments are a pattern that the message's headers are held against.
//
// `x-match` says how: `all` (the default) or `any` of the pattern's headers must match, and with `all-with-x` and
// `any-with-x` those whose names begin with `x-` count too. A void value in the pattern asks only for presence. An
// empty pattern matches always under all, never under any. The cost of a message is its headers once plus the patterns'
// sizes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/field.h"
#include "core/broker/binding.h"
#include "core/broker/route_targets.h"

namespace talaria::broker {

enum class HeadersMatch : uint8_t { all, any, all_with_x, any_with_x };
// What x-match says; nullopt when it says nothing known (then the binding is refused with 406 before it gets here).
std::optional<HeadersMatch> headers_match(const base::FieldTable& arguments);

class HeadersBindings {
 public:
  void add(StoredBinding& binding);
  void remove(StoredBinding& binding);
  bool match(std::span<const base::HeaderView> headers, RouteTargets& out) const;

 private:
  struct Pattern {
    StoredBinding* binding = nullptr;
    bool all = true;
    std::vector<const base::FieldEntry*> conditions;  // in the binding's arguments
  };
  static bool holds(const Pattern& pattern, const HeaderIndex& headers);

  std::vector<Pattern> patterns_;
};

}  // namespace talaria::broker
