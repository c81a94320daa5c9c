// What must hold between calls. For the simulator, which asks after every step.
#include <bit>

#include "core/base/check.h"
#include "core/tcp/stack.h"

namespace talaria::tcp {

void Stack::check_invariants() const {
  size_t in_use = 0, in_output = 0, slices = 0, shared = 0, receive_chunks = 0, records = 0;
  for (uint32_t slot = 0; slot < connections_.size(); slot++) {
    const Connection& connection = connections_[slot];
    in_output += (connection.send.in_output ? 1u : 0u) + static_cast<size_t>(std::popcount(connection.stale_output));
    CHECK((connection.stale_output >> connection.receive.interface & 1) == 0);
    if (!connection.in_use) {
      CHECK(connection.receive.state == State::closed && !connection.timer.armed());
      CHECK(connection.send.queue.first == base::none && connection.reassembly.chunk_count == 0);
      continue;
    }
    in_use++;
    const auto& receive = connection.receive;
    const auto& send = connection.send;
    SendMemory::Sum sum = send_memory_.sum(send.queue);
    slices += sum.slices;
    shared += sum.shared;
    receive_chunks += connection.reassembly.chunk_count;
    records += flight_memory_.check(connection.flight, send.unacknowledged, send.max);
    if (receive.state == State::closed) {
      CHECK(sum.slices == 0 && !connection.timer.armed() && !connection.flight.tracked);
      continue;
    }
    check_numbers(connection, sum.bytes);
    check_liveness(connection);
  }
  CHECK(in_use == connections_.used());
  for (const Interface& interface : interfaces_) in_output -= interface.output.size();
  CHECK(in_output == 0);
  CHECK(slices == send_memory_.slices_used() && shared == send_memory_.shared_used());
  CHECK(receive_chunks == receive_memory_.chunks_used());
  CHECK(records == flight_memory_.used());
}

void Stack::check_numbers(const Connection& connection, size_t queued_bytes) const {
  const auto& receive = connection.receive;
  const auto& send = connection.send;
  CHECK(at_or_before(send.unacknowledged, send.next) && at_or_before(send.next, send.max));
  CHECK(at_or_before(send.max, send.end + 1));
  CHECK(queued_bytes >= connection.queued());  // whole slices: the first may be acknowledged in part
  CHECK(send.congestion_window > 0 || !connection.synchronized());
  CHECK(!connection.flight.tracked || send.next == send.max);
  CHECK(!connection.flight.tracked || connection.flight.lost == 0 || send.recovery != Recovery::none);
  if (!connection.synchronized()) return;
  CHECK(at_or_before(receive.read, receive.next) && at_or_before(receive.next, receive.edge));
  CHECK(at_or_before(receive.last_ack_sent, receive.next));
  CHECK(connection.unread() <= config_.receive_window + (1u << receive.scale));
  for (size_t i = 0; i < connection.reassembly.range_count; i++) {
    const Range& range = connection.reassembly.ranges[i];
    CHECK(after(range.start, receive.next) && after(range.end, range.start) && at_or_before(range.end, receive.edge));
  }
}

// Nothing is left to itself: what is unacknowledged or cannot be sent has a timer, or its turn at output comes.
void Stack::check_liveness(const Connection& connection) const {
  const auto& receive = connection.receive;
  const auto& send = connection.send;
  bool unsent = before(send.next, send.end) || (send.finish && !connection.fin_sent()) ||
                (receive.state == State::syn_sent && send.next == connection.initial_send);
  if (connection.in_flight() > 0 || unsent) CHECK(send.timer != base::never || send.in_output);
  if (receive.ack_now) CHECK(send.in_output);
  base::Time deadline = deadline_of(connection);
  if (deadline == base::never) return;
  if (send.in_output) return;  // it is armed by what its turn there leaves
  CHECK(connection.timer.armed());
  CHECK(base::TimerWheel::deadline_of(connection.timer) < deadline + base::TimerWheel::tick);
}

}  // namespace talaria::tcp
