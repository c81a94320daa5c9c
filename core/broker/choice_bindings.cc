#include "core/broker/choice_bindings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/broker/exchange.h"
#include "core/broker/queue_record.h"

namespace talaria::broker {
namespace {

// Each bit of the result depends on all of `value` (the finalizer of SplitMix64).
uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
  value = (value ^ value >> 27) * 0x94d049bb133111ebu;
  return value ^ value >> 31;
}

uint64_t hash_text(std::string_view text) { return base::hash_bytes(base::as_bytes(text)); }

uint64_t seed_of(const StoredBinding& binding) {
  const Destination& to = binding.destination;
  const uint64_t name = to.queue ? hash_text(to.queue->name) : mixed(hash_text(to.exchange->name()));
  return mixed(name ^ mixed(hash_text(binding.key)));
}

// Of values that mean the same. Those that are not scalars count by their octets.
uint64_t hash_value(const base::FieldView& value) {
  switch (value.kind) {
    case base::FieldKind::text:
    case base::FieldKind::bytes:
    case base::FieldKind::table:
    case base::FieldKind::array: return hash_text(value.bytes);
    default: return mixed(static_cast<uint64_t>(value.integer));
  }
}

}  // namespace

std::optional<uint32_t> weight_of(std::string_view key) {
  uint32_t weight = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), weight);
  if (error != std::errc() || end != key.data() + key.size() || weight == 0) return std::nullopt;
  return weight;
}

ChoiceBindings::ChoiceBindings(Way way, std::shared_ptr<const ExchangeSettings> settings)
    : way_(way), settings_(std::move(settings)) {}

void ChoiceBindings::add(StoredBinding& binding) {
  Choice made{&binding, seed_of(binding), 1};
  // What is no weight was refused before it got here.
  if (way_ == Way::consistent_hash) made.weight = weight_of(binding.key).value_or(1);
  choices_.insert(std::ranges::upper_bound(choices_, made.seed, {}, &Choice::seed), made);
}

void ChoiceBindings::remove(StoredBinding& binding) {
  const auto found = std::ranges::find(choices_, &binding, &Choice::binding);
  CHECK(found != choices_.end());
  choices_.erase(found);
}

bool ChoiceBindings::match(std::string_view routing_key, const RouteFacts& facts, RouteTargets& out) const {
  if (choices_.empty()) return false;
  const Choice* chosen = nullptr;
  switch (way_) {
    case Way::consistent_hash: chosen = &heaviest(hash_of(routing_key, facts)); break;
    case Way::modulus_hash: chosen = &any(hash_text(routing_key)); break;
    // Every routing has another mark.
    case Way::random: chosen = &any(mixed(out.mark_)); break;
    case Way::local_random: chosen = &any_local(mixed(out.mark_)); break;
  }
  out.add(chosen->binding->destination);
  return true;
}

uint64_t ChoiceBindings::hash_of(std::string_view routing_key, const RouteFacts& facts) const {
  if (!settings_) return hash_text(routing_key);
  if (!settings_->hash_header.empty()) {
    for (const base::HeaderView& header : facts.headers)
      if (header.name == settings_->hash_header) return hash_value(header.value);
    return 0;
  }
  switch (settings_->hash_property) {
    case HashProperty::none: break;
    case HashProperty::correlation_id: return hash_text(facts.correlation_id);
    case HashProperty::message_id: return hash_text(facts.message_id);
    case HashProperty::timestamp: return mixed(facts.timestamp);
  }
  return hash_text(routing_key);
}

// With u uniform in (0, 1], -ln(u) / weight is the least with a probability in proportion to the weight.
const ChoiceBindings::Choice& ChoiceBindings::heaviest(uint64_t hash) const {
  const Choice* best = nullptr;
  double least = 0;
  for (const Choice& choice : choices_) {
    const double u = static_cast<double>((mixed(hash ^ choice.seed) >> 11) + 1) * 0x1p-53;
    const double drawn = -std::log(u) / choice.weight;
    if (best && drawn >= least) continue;
    best = &choice;
    least = drawn;
  }
  return *best;
}

const ChoiceBindings::Choice& ChoiceBindings::any(uint64_t number) const { return choices_[number % choices_.size()]; }

const ChoiceBindings::Choice& ChoiceBindings::any_local(uint64_t number) const {
  const auto is_local = [](const Choice& choice) {
    const QueueRecord* queue = choice.binding->destination.queue;
    return queue && queue->local;
  };
  const auto locals = static_cast<uint64_t>(std::ranges::count_if(choices_, is_local));
  if (locals == 0) return any(number);
  uint64_t skip = number % locals;
  for (const Choice& choice : choices_)
    if (is_local(choice) && skip-- == 0) return choice;
  return any(number);
}

}  // namespace talaria::broker
