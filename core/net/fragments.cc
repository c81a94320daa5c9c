#include "core/net/fragments.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::net {

FragmentTable::FragmentTable(Device& device, size_t datagrams_max, base::Duration lifetime)
    : device_(device), lifetime_(lifetime), datagrams_(datagrams_max) {
  CHECK(datagrams_max >= 4);
}

FragmentTable::~FragmentTable() {
  for (Datagram& datagram : datagrams_) free(datagram);
}

FragmentTable::Outcome FragmentTable::add(const Fragment& fragment, size_t payload_at, size_t bytes_max,
                                          base::Time now) {
  constexpr uint32_t datagram_bytes_max = 65535;
  Outcome outcome;
  const size_t size = fragment.payload.size();
  // Every piece but the last is a multiple of 8 bytes long.
  if (size == 0 || (fragment.more && size % 8 != 0) || fragment.offset + size > datagram_bytes_max) {
    outcome.result = FragmentResult::malformed;
    return outcome;
  }
  Datagram* datagram = find(fragment.key);
  if (!datagram) {
    datagram = &make_room(fragment.key, outcome.evicted);
    Packet packet = device_.allocate();
    if (!packet) {
      outcome.result = FragmentResult::no_packet;
      return outcome;
    }
    *datagram = Datagram{.key = fragment.key, .deadline = now + lifetime_, .packet = packet, .ranges = {}};
  }
  outcome.result = place(*datagram, fragment, payload_at, bytes_max);
  if (outcome.result == FragmentResult::complete) {
    outcome.packet = std::exchange(datagram->packet, {});
    outcome.bytes = datagram->bytes;
    outcome.protocol = datagram->protocol;
    free(*datagram);
  }
  return outcome;
}

FragmentResult FragmentTable::place(Datagram& datagram, const Fragment& fragment, size_t payload_at, size_t bytes_max) {
  if (!datagram.packet) return FragmentResult::given_up;
  const Range piece{fragment.offset, fragment.offset + static_cast<uint32_t>(fragment.payload.size())};
  auto give_up_for = [&](FragmentResult reason) {
    give_up(datagram);
    return reason;
  };
  uint32_t known = 0, end = piece.end;
  for (size_t i = 0; i < datagram.pieces; i++) {
    const Range& other = datagram.ranges[i];
    if (piece.start == other.start && piece.end == other.end) return FragmentResult::duplicate;
    if (piece.start < other.end && other.start < piece.end) return give_up_for(FragmentResult::overlap);
    known += other.end - other.start;
    end = std::max(end, other.end);
  }
  if (!fragment.more) {
    if (datagram.bytes != 0 || end != piece.end) return give_up_for(FragmentResult::malformed);  // two ends
    datagram.bytes = piece.end;
  } else if (datagram.bytes != 0 && piece.end > datagram.bytes) {
    return give_up_for(FragmentResult::malformed);
  }
  if (piece.end > bytes_max || datagram.pieces == pieces_max) return give_up_for(FragmentResult::too_big);
  CHECK(payload_at + piece.end <= datagram.packet.capacity);
  std::copy(fragment.payload.begin(), fragment.payload.end(), datagram.packet.data + payload_at + piece.start);
  datagram.ranges[datagram.pieces++] = piece;
  if (piece.start == 0) datagram.protocol = fragment.protocol;
  known += piece.end - piece.start;
  return known == datagram.bytes ? FragmentResult::complete : FragmentResult::waiting;
}

FragmentTable::Datagram* FragmentTable::find(const FragmentKey& key) {
  for (Datagram& datagram : datagrams_)
    if (datagram.deadline != base::never && datagram.key == key) return &datagram;
  return nullptr;
}

// A free place; the oldest of a source that has its share, or the oldest of all, makes one.
FragmentTable::Datagram& FragmentTable::make_room(const FragmentKey& key, bool& evicted) {
  Datagram* vacant = nullptr;
  Datagram* oldest = nullptr;
  Datagram* oldest_of_source = nullptr;
  size_t of_source = 0;
  for (Datagram& datagram : datagrams_) {
    if (datagram.deadline == base::never) {
      vacant = &datagram;
      continue;
    }
    if (!oldest || datagram.deadline < oldest->deadline) oldest = &datagram;
    if (datagram.key.source != key.source) continue;
    of_source++;
    if (!oldest_of_source || datagram.deadline < oldest_of_source->deadline) oldest_of_source = &datagram;
  }
  if (of_source < datagrams_.size() / 4 && vacant) return *vacant;
  Datagram& place = of_source >= datagrams_.size() / 4 ? *oldest_of_source : *oldest;
  evicted = true;
  free(place);
  return place;
}

void FragmentTable::give_up(Datagram& datagram) {
  device_.release(datagram.packet);
  datagram.packet = {};
}

void FragmentTable::free(Datagram& datagram) {
  if (datagram.packet) device_.release(datagram.packet);
  datagram = Datagram{.key = {}, .packet = {}, .ranges = {}};
}

size_t FragmentTable::expire(base::Time now) {
  size_t lost = 0;
  for (Datagram& datagram : datagrams_) {
    if (datagram.deadline == base::never || datagram.deadline > now) continue;
    lost += datagram.packet ? 1 : 0;
    free(datagram);
  }
  return lost;
}

base::Time FragmentTable::next_deadline() const {
  base::Time earliest = base::never;
  for (const Datagram& datagram : datagrams_) earliest = std::min(earliest, datagram.deadline);
  return earliest;
}

size_t FragmentTable::packets_held() const {
  return static_cast<size_t>(std::count_if(datagrams_.begin(), datagrams_.end(),
                                           [](const Datagram& datagram) { return bool(datagram.packet); }));
}

}  // namespace talaria::net
