#include "load/arrivals.h"

namespace talaria::load {
namespace {

// Consumers of one queue may be that many messages apart.
constexpr uint32_t shared_window = 64 * 1024;
constexpr uint32_t exclusive_window = 1024;

}  // namespace

Arrivals::Arrivals(const Plan& plan)
    : to_all_(plan.to_all()),
      shared_(plan.shared_queues()),
      queues_(plan.queues),
      routes_(plan.one_route_each() ? plan.binding_count() : plan.queues),
      producers_(plan.producers),
      checks_(plan.to_all() ? size_t{plan.producers} * plan.queues : plan.streams(),
              SequenceCheck(shared_ ? shared_window : exclusive_window)) {}

Arrivals::Verdict Arrivals::judge(const std::vector<uint64_t>& sequences) const {
  Verdict verdict;
  for (size_t i = 0; i < checks_.size(); i++) {
    verdict.lost += checks_[i].lost(sequences[to_all_ ? i % producers_ : i]);
    verdict.duplicated += checks_[i].duplicates();
    if (!shared_) verdict.reordered += checks_[i].reordered();
  }
  return verdict;
}

}  // namespace talaria::load
