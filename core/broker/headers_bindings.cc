#include "core/broker/headers_bindings.h"

#include <algorithm>

namespace talaria::broker {

// ---- the message's side ---------------------------------------------------------------------------------------------

void HeaderIndex::build(std::span<const base::HeaderView> headers) {
  headers_ = headers;
  built_ = true;
  sorted_.clear();
  if (headers.size() <= searched_max) return;
  for (uint32_t i = 0; i < headers.size(); i++) sorted_.push_back(i);
  std::sort(sorted_.begin(), sorted_.end(), [&](uint32_t x, uint32_t y) {
    const int order = headers[x].name.compare(headers[y].name);
    return order != 0 ? order < 0 : x < y;
  });
}

const base::FieldView* HeaderIndex::find(std::string_view name) const {
  if (sorted_.empty()) {
    for (size_t i = headers_.size(); i-- > 0;)
      if (headers_[i].name == name) return &headers_[i].value;
    return nullptr;
  }
  auto behind = std::upper_bound(sorted_.begin(), sorted_.end(), name,
                                 [&](std::string_view wanted, uint32_t at) { return wanted < headers_[at].name; });
  if (behind == sorted_.begin() || headers_[*(behind - 1)].name != name) return nullptr;
  return &headers_[*(behind - 1)].value;
}

// ---- the binding's side ---------------------------------------------------------------------------------------------

std::optional<HeadersMatch> headers_match(const base::FieldTable& arguments) {
  const base::Field* field = base::find(arguments, "x-match");
  if (!field) return HeadersMatch::all;
  const std::string* text = field->text();
  if (!text) return std::nullopt;
  if (*text == "all") return HeadersMatch::all;
  if (*text == "any") return HeadersMatch::any;
  if (*text == "all-with-x") return HeadersMatch::all_with_x;
  if (*text == "any-with-x") return HeadersMatch::any_with_x;
  return std::nullopt;
}

void HeadersBindings::add(StoredBinding& binding) {
  const HeadersMatch match = headers_match(binding.arguments).value_or(HeadersMatch::all);
  const bool with_x = match == HeadersMatch::all_with_x || match == HeadersMatch::any_with_x;
  Pattern pattern;
  pattern.binding = &binding;
  pattern.all = match == HeadersMatch::all || match == HeadersMatch::all_with_x;
  for (const base::FieldEntry& entry : binding.arguments) {
    if (entry.name == "x-match" || (!with_x && entry.name.starts_with("x-"))) continue;
    if (base::find(binding.arguments, entry.name) != &entry.value) continue;  // the last one of a name counts
    pattern.conditions.push_back(&entry);
  }
  binding.place = static_cast<uint32_t>(patterns_.size());
  patterns_.push_back(std::move(pattern));
}

void HeadersBindings::remove(StoredBinding& binding) {
  const uint32_t place = binding.place;
  if (place + 1 != patterns_.size()) {
    patterns_[place] = std::move(patterns_.back());
    patterns_[place].binding->place = place;
  }
  patterns_.pop_back();
}

bool HeadersBindings::holds(const Pattern& pattern, const HeaderIndex& headers) {
  for (const base::FieldEntry* condition : pattern.conditions) {
    const base::FieldView* header = headers.find(condition->name);
    const bool presence = std::holds_alternative<base::Void>(condition->value.value);
    const bool matched = header && (presence || base::matches(*header, condition->value));
    if (matched != pattern.all) return matched;  // all: the first that fails decides; any: the first that holds
  }
  return pattern.all;
}

bool HeadersBindings::match(std::span<const base::HeaderView> headers, RouteTargets& out) const {
  if (patterns_.empty()) return false;
  if (!out.headers_.built()) out.headers_.build(headers);
  bool matched = false;
  for (const Pattern& pattern : patterns_) {
    if (!holds(pattern, out.headers_)) continue;
    out.add(pattern.binding->destination);
    matched = true;
  }
  return matched;
}

}  // namespace talaria::broker
