// Planted bugs: faults of the harness between the layers, each like a bug that the broker could have. A run with one
// must fail; if it does not, the simulator has stopped looking.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace talaria::sim {

enum class Plant : uint8_t {
  none,
  lost_segment,         // the bytes of one segment turn to zeros between card and stack, its checksum made right again
  drop_requeue,         // one message that was given back never reaches its queue
  lost_publish,         // one message disappears on its way to a queue's home, and is confirmed
  swapped_publishes,    // two messages of one publisher overtake one another on their way to a queue
  unmarked_redelivery,  // one message comes a second time as if it were the first
  lost_in_a_move,       // one message that goes with its queue to another worker does not arrive
  dropped_reply,        // mandatory replies to another worker do not come back when their consumer is gone
  hasty_last_word,      // what says that a worker sends a moving queue no more overtakes what it has sent
  early_answer,         // the control plane answers before every worker has applied the change
  hasty_delay,          // delayed messages come when half their time is over
  every_choice,         // exchanges that choose one of their bindings at random take all of them
  random_hash,          // exchanges that hash choose at random
  all_values,           // queues of last values keep all of them
  duplicates,           // queues that deduplicate do not
  no_policies,          // policies are not set
  short_patience,       // consumers are given a tenth of their time
  no_flow_limit,        // queues do not stop their publishers
  no_groups,            // queues do not keep groups together
  short_pace,           // queues look at slow consumers ten times as often
  endless_pace,         // queues do not look at slow consumers
  no_history,           // exchanges with a history have none
  no_copies,            // the keys of CC and BCC lead nowhere
  lost_event,           // one thing that happens is not told of
  half_traced,          // what is delivered is not traced
  secret_queue,         // there is a queue that nobody declared
  unrevoked,            // consumers whose user may not read any more go on
  any_name,             // everybody may sign with any name
  repeats,              // exchanges that deduplicate do not, queues do
};

// What it takes messages between workers to do.
constexpr bool spoils_mailboxes(Plant plant) { return plant >= Plant::drop_requeue && plant <= Plant::hasty_last_word; }

std::optional<Plant> plant_named(std::string_view name);
std::string_view name_of(Plant plant);

}  // namespace talaria::sim
