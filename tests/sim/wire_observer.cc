#include "tests/sim/wire_observer.h"

#include <algorithm>

#include "tests/sim/peer_segment.h"
#include "tests/sim/world.h"

namespace talaria::sim {

uint64_t WireObserver::unwrap(uint32_t at, uint32_t initial, uint64_t reference) {
  const uint32_t offset = at - initial;
  const auto distance = static_cast<int32_t>(offset - static_cast<uint32_t>(reference));
  return static_cast<uint64_t>(static_cast<int64_t>(reference) + distance);
}

// "Who has this address? Tell me": of what waits for the answer the newest go on.
void WireObserver::on_address_request(base::Bytes frame) {
  constexpr size_t type_at = 12, operation_at = 20, sender_at = 28, target_at = 38, size = 42;
  if (frame.size() < size || base::load_be16(&frame[type_at]) != 0x0806) return;
  if (base::load_be16(&frame[operation_at]) != 1) return;
  for (auto& [key, flow] : flows_)
    if (std::get<0>(key) == base::load_be32(&frame[sender_at]) &&
        std::get<2>(key) == base::load_be32(&frame[target_at]))
      flow.may_skip = true;
}

std::optional<size_t> WireObserver::put(Flow& flow, size_t from, base::Bytes bytes) {
  const size_t old = flow.bytes.size(), to = from + bytes.size();
  if (to > old)
    flow.bytes.insert(flow.bytes.end(), bytes.end() - static_cast<ptrdiff_t>(std::min(to - old, bytes.size())),
                      bytes.end());
  for (auto hole = flow.missing.begin(); hole != flow.missing.end() && hole->first < to;) {
    const auto [begin, end] = *hole;
    hole++;
    const size_t first = std::max(begin, from), last = std::min(end, to);
    if (first >= last) continue;
    std::copy(bytes.begin() + static_cast<ptrdiff_t>(first - from), bytes.begin() + static_cast<ptrdiff_t>(last - from),
              flow.bytes.begin() + static_cast<ptrdiff_t>(first));
    flow.missing.erase(begin);
    if (begin < first) flow.missing[begin] = first;
    if (last < end) flow.missing[last] = end;
  }
  const auto there = flow.bytes.begin() + static_cast<ptrdiff_t>(from);
  const auto [differs, its] = std::mismatch(bytes.begin(), bytes.end(), there);
  if (differs == bytes.end()) return std::nullopt;
  return from + static_cast<size_t>(differs - bytes.begin());
}

void WireObserver::on_frame(base::Bytes frame) {
  on_address_request(frame);
  const auto segment = read_segment(frame);
  if (!segment || segment->rst) return;
  segments_++;
  Flow& flow = flows_[{segment->source, segment->source_port, segment->destination, segment->destination_port}];
  Flow& other = flows_[{segment->destination, segment->destination_port, segment->source, segment->source_port}];
  const auto complain = [&](const char* what, uint64_t a, uint64_t b) {
    fail("on the wire, %08x:%u -> %08x:%u: %s (%lu, %lu)", segment->source, segment->source_port, segment->destination,
         segment->destination_port, what, a, b);
  };

  if (segment->syn && segment->ack && flow.chosen && flow.offer.initial != segment->sequence) return;  // too late
  if (segment->syn && (!flow.started || flow.offer.initial != segment->sequence)) {
    std::vector<Offer> offered = std::move(flow.offered);
    flow = {};
    flow.started = true;
    flow.offer = {.initial = segment->sequence,
                  .has_shift = segment->window_scale.has_value(),
                  .shift = std::min<uint8_t>(segment->window_scale.value_or(0), 14)};
    if (segment->ack) flow.offered = std::move(offered);
    flow.offered.push_back(flow.offer);
    if (!segment->ack) other = {};  // a new connection: the other side's old flow is history
  }
  if (segment->ack && !segment->syn && other.started && !other.chosen) {
    other.chosen = true;
    const auto offer = std::ranges::find(other.offered, segment->acknowledgement - 1, &Offer::initial);
    if (offer != other.offered.end()) other.offer = *offer;
  }
  if (!flow.started) return;  // an answer to a stranger

  const uint64_t position = unwrap(segment->sequence, flow.offer.initial, flow.sent_end);
  if (segment->length() > 0) {
    const uint64_t end = position + segment->length();
    if (other.acknowledges && !segment->syn && !segment->payload.empty() && end - segment->fin > other.edge + 1)
      complain("sent beyond the offered window", end, other.edge);
    // Position 0 is the SYN; byte i of the stream stands at position i + 1.
    if (!segment->syn && !segment->payload.empty()) {
      const size_t from = position - 1;
      if (from > flow.bytes.size()) {
        if (!flow.may_skip) complain("sent with a gap before it", from, flow.bytes.size());
        flow.missing[flow.bytes.size()] = from;
        flow.bytes.resize(from);
      }
      flow.may_skip = false;
      if (const auto differs = put(flow, from, segment->payload))
        complain("other bytes under the same sequence numbers", from, *differs);
    }
    flow.sent_end = std::max(flow.sent_end, end);
  }

  if (!segment->ack || !other.started) return;
  const uint64_t acknowledged = unwrap(segment->acknowledgement, other.offer.initial, flow.acknowledged);
  const uint8_t shift = segment->syn ? 0 : flow.effective_shift(other);
  const uint64_t edge = acknowledged + (uint64_t{segment->window} << shift);
  if (acknowledged > other.sent_end) complain("acknowledges what was never sent", acknowledged, other.sent_end);
  if (flow.acknowledges) {
    if (acknowledged < flow.acknowledged) complain("acknowledgement went back", acknowledged, flow.acknowledged);
    const uint64_t rounding = (uint64_t{1} << shift) - 1;
    if (edge + rounding < flow.edge && !segment->syn) complain("window's right edge retracted", edge, flow.edge);
  }
  flow.acknowledges = true;
  flow.acknowledged = acknowledged;
  flow.edge = std::max(flow.edge, edge);
}

}  // namespace talaria::sim
