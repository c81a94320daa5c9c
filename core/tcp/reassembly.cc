#include "core/tcp/reassembly.h"

#include <algorithm>

#include "core/base/check.h"

namespace talaria::tcp {

using base::none;

static_assert((receive_chunk_bytes & (receive_chunk_bytes - 1)) == 0, "chunks begin at multiples of their size");

ReceiveMemory::ReceiveMemory(size_t chunks, std::pmr::memory_resource* memory)
    : chunks_(chunks, memory), places_(chunks, memory) {}

bool ReceiveMemory::put(Reassembly& reassembly, Sequence at, base::Bytes bytes) {
  if (bytes.empty()) return true;
  // First all the chunks, then the bytes: nothing is half put.
  Sequence last = at + static_cast<Sequence>(bytes.size()) - 1;
  for (Sequence base = base_of(at);; base += receive_chunk_bytes) {
    if (chunk_at(reassembly, base) == none) return false;
    if (base == base_of(last)) break;
  }
  while (!bytes.empty()) {
    uint32_t chunk = find(reassembly, base_of(at));
    size_t offset = at - base_of(at);
    size_t part = std::min(bytes.size(), receive_chunk_bytes - offset);
    std::memcpy(chunks_[chunk].data() + offset, bytes.data(), part);
    at += static_cast<Sequence>(part);
    bytes = bytes.subspan(part);
  }
  return true;
}

uint32_t ReceiveMemory::find(const Reassembly& reassembly, Sequence base) const {
  if (reassembly.last_chunk != none && places_[reassembly.last_chunk].base == base) return reassembly.last_chunk;
  uint32_t at = reassembly.first_chunk;
  while (at != none && places_[at].base != base) at = places_[at].next;
  return at;
}

uint32_t ReceiveMemory::chunk_at(Reassembly& reassembly, Sequence base) {
  uint32_t previous = none;
  uint32_t at = reassembly.first_chunk;
  if (reassembly.last_chunk != none && at_or_after(base, places_[reassembly.last_chunk].base)) {
    if (places_[reassembly.last_chunk].base == base) return reassembly.last_chunk;
    previous = reassembly.last_chunk;
    at = none;
  }
  while (at != none && before(places_[at].base, base)) {
    previous = at;
    at = places_[at].next;
  }
  if (at != none && places_[at].base == base) return at;
  size_t reserve = chunks_.size() / 8;
  if (reassembly.chunk_count >= 2 && chunks_.free() <= reserve) return none;
  uint32_t made = chunks_.take();
  if (made == none) return none;
  places_[made] = {base, at};
  (previous == none ? reassembly.first_chunk : places_[previous].next) = made;
  if (at == none) reassembly.last_chunk = made;
  reassembly.chunk_count++;
  return made;
}

base::Bytes ReceiveMemory::view(const Reassembly& reassembly, Sequence at, Sequence end) const {
  uint32_t chunk = find(reassembly, base_of(at));
  CHECK(chunk != none && before(at, end));
  size_t offset = at - base_of(at);
  return {chunks_[chunk].data() + offset, std::min<size_t>(receive_chunk_bytes - offset, end - at)};
}

void ReceiveMemory::release_before(Reassembly& reassembly, Sequence at) {
  while (reassembly.first_chunk != none) {
    uint32_t chunk = reassembly.first_chunk;
    if (after(places_[chunk].base + static_cast<Sequence>(receive_chunk_bytes), at)) return;
    reassembly.first_chunk = places_[chunk].next;
    if (reassembly.first_chunk == none) reassembly.last_chunk = none;
    reassembly.chunk_count--;
    chunks_.give(chunk);
  }
}

void ReceiveMemory::release_all(Reassembly& reassembly) {
  while (reassembly.first_chunk != none) {
    uint32_t chunk = reassembly.first_chunk;
    reassembly.first_chunk = places_[chunk].next;
    chunks_.give(chunk);
  }
  reassembly.last_chunk = none;
  reassembly.chunk_count = 0;
  reassembly.range_count = 0;
}

namespace {

bool touch(const Range& a, const Range& b) { return at_or_before(a.start, b.end) && at_or_before(b.start, a.end); }

}  // namespace

bool ReceiveMemory::has_room_for(const Reassembly& reassembly, Range range) {
  if (reassembly.range_count < Reassembly::ranges_max) return true;
  for (size_t i = 0; i < reassembly.range_count; i++)
    if (touch(reassembly.ranges[i], range)) return true;
  return false;
}

bool ReceiveMemory::add_range(Reassembly& reassembly, Range range) {
  if (!has_room_for(reassembly, range)) return false;
  auto& ranges = reassembly.ranges;
  size_t kept = 0;
  for (size_t i = 0; i < reassembly.range_count; i++) {
    if (touch(ranges[i], range))
      range = {earlier(ranges[i].start, range.start), later(ranges[i].end, range.end)};
    else
      ranges[kept++] = ranges[i];
  }
  std::copy_backward(ranges.begin(), ranges.begin() + kept, ranges.begin() + kept + 1);
  ranges[0] = range;
  reassembly.range_count = static_cast<uint8_t>(kept + 1);
  return true;
}

Sequence ReceiveMemory::advance(Reassembly& reassembly, Sequence next) {
  auto& ranges = reassembly.ranges;
  for (bool moved = true; moved;) {
    moved = false;
    size_t kept = 0;
    for (size_t i = 0; i < reassembly.range_count; i++) {
      if (at_or_before(ranges[i].start, next)) {
        if (after(ranges[i].end, next)) {
          next = ranges[i].end;
          moved = true;
        }
      } else {
        ranges[kept++] = ranges[i];
      }
    }
    reassembly.range_count = static_cast<uint8_t>(kept);
  }
  return next;
}

}  // namespace talaria::tcp
