#include "tests/sim/run.h"

#include <array>
#include <utility>

#include "tests/sim/matrix.h"

namespace talaria::sim {

namespace {

constexpr std::array<std::pair<Plant, std::string_view>, 29> plants{{
    {Plant::none, "none"},
    {Plant::lost_segment, "lost-segment"},
    {Plant::drop_requeue, "drop-requeue"},
    {Plant::lost_publish, "lost-publish"},
    {Plant::swapped_publishes, "swapped-publishes"},
    {Plant::unmarked_redelivery, "unmarked-redelivery"},
    {Plant::lost_in_a_move, "lost-in-a-move"},
    {Plant::hasty_last_word, "hasty-last-word"},
    {Plant::early_answer, "early-answer"},
    {Plant::hasty_delay, "hasty-delay"},
    {Plant::every_choice, "every-choice"},
    {Plant::random_hash, "random-hash"},
    {Plant::all_values, "all-values"},
    {Plant::duplicates, "duplicates"},
    {Plant::no_policies, "no-policies"},
    {Plant::short_patience, "short-patience"},
    {Plant::no_flow_limit, "no-flow-limit"},
    {Plant::no_groups, "no-groups"},
    {Plant::short_pace, "short-pace"},
    {Plant::endless_pace, "endless-pace"},
    {Plant::no_history, "no-history"},
    {Plant::repeats, "repeats"},
    {Plant::lost_event, "lost-event"},
    {Plant::half_traced, "half-traced"},
    {Plant::secret_queue, "secret-queue"},
    {Plant::no_copies, "no-copies"},
    {Plant::unrevoked, "unrevoked"},
    {Plant::any_name, "any-name"},
    {Plant::dropped_reply, "dropped-reply"},
}};

}  // namespace

std::optional<Plant> plant_named(std::string_view name) {
  for (const auto& [plant, its_name] : plants)
    if (its_name == name) return plant;
  return std::nullopt;
}

std::string_view name_of(Plant plant) {
  for (const auto& [candidate, name] : plants)
    if (candidate == plant) return name;
  return "?";
}

// Two of three runs are of the whole broker.
std::string scenario_of(uint64_t seed) { return seed % 3 == 0 ? "tcp" : "amqp"; }

RunReport run(const RunOptions& options) {
  const std::string scenario = options.scenario.empty() ? scenario_of(options.seed) : options.scenario;
  if (scenario == "matrix") return run_cell(options);
  return scenario == "tcp" ? run_tcp(options) : run_amqp(options);
}

}  // namespace talaria::sim
