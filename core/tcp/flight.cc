#include "core/tcp/flight.h"

#include "core/base/check.h"

namespace talaria::tcp {

using base::none;

// ---- sending --------------------------------------------------------------------------------------------------------

void FlightMemory::sent(Flight& flight, Sequence end, base::Time now, base::Duration grain) {
  if (flight.last != none) {
    Record& last = records_[flight.last];
    if (last.fate == Fate::flying && !last.again && now - last.sent <= grain) {
      last.end = end;
      return;
    }
    if (!has_record(flight)) {
      if (last.fate != Fate::flying) return lose_track(flight, end);
      // Older bytes pass for younger ones: they are found lost later, and no round trip is measured by them.
      last.sent = now;
      last.again = true;
      last.end = end;
      return;
    }
  } else if (!has_record(flight)) {
    return lose_track(flight, end);
  }
  append(flight, {.sent = now, .end = end});
}

void FlightMemory::sent_again(Flight& flight, Sequence unacknowledged, Range range, Sequence max, base::Time now,
                              base::Duration grain) {
  uint32_t before_it = none, at = flight.first;
  Sequence start = unacknowledged;
  for (; at != none && at_or_before(records_[at].end, range.start); at = records_[at].next) {
    start = records_[at].end;
    before_it = at;
  }
  CHECK(at != none && records_[at].fate != Fate::sacked && at_or_before(range.end, records_[at].end));
  if (records_[at].fate == Fate::lost) flight.lost -= range.size();
  const bool whole = range.end == records_[at].end;
  if (start == range.start && before_it != none) {
    // Most retransmissions follow each other: the border between what has left again and what has not moves.
    Record& previous = records_[before_it];
    if (previous.fate == Fate::flying && previous.again && now - previous.sent <= grain) {
      previous.end = range.end;
      if (!whole) return;
      previous.next = records_[at].next;
      if (flight.last == at) flight.last = before_it;
      flight.count--;
      return records_.give(at);
    }
  }
  if (start != range.start) {
    if (!split(flight, at, range.start)) return lose_track(flight, max);
    at = records_[at].next;
  }
  if (!whole && !split(flight, at, range.end)) return lose_track(flight, max);
  Record& record = records_[at];
  record.fate = Fate::flying;
  record.sent = now;
  record.again = true;
}

void FlightMemory::track(Flight& flight, Sequence unacknowledged, Sequence max, base::Time now) {
  CHECK(!flight.tracked && flight.first == none);
  if (unacknowledged != max) {
    if (!has_record(flight)) {
      flight.tracked_again_at = max;
      return;
    }
    append(flight, {.sent = now, .end = max, .again = true});
  }
  flight.tracked = true;
}

void FlightMemory::lose_track(Flight& flight, Sequence max) {
  release(flight);
  flight.tracked = false;
  flight.tracked_again_at = max;
}

void FlightMemory::release(Flight& flight) {
  while (flight.first != none) pop(flight);
  flight.sacked = flight.lost = 0;
}

// ---- what arrived ---------------------------------------------------------------------------------------------------

void FlightMemory::acknowledge(Flight& flight, Sequence unacknowledged, Sequence acknowledgement,
                               Deliveries& deliveries) {
  Sequence start = unacknowledged;
  while (start != acknowledgement) {
    CHECK(flight.first != none);
    const Record& record = records_[flight.first];
    const Sequence end = earlier(record.end, acknowledgement);
    if (record.fate == Fate::sacked)
      flight.sacked -= end - start;
    else
      deliveries.add(record.sent, end, record.again);
    if (record.fate == Fate::lost) flight.lost -= end - start;
    start = end;
    if (end == record.end) pop(flight);
  }
}

uint32_t FlightMemory::sack(Flight& flight, Sequence unacknowledged, Range block, Deliveries& deliveries) {
  uint32_t newly = 0, before_it = none;
  Sequence start = unacknowledged;
  for (uint32_t at = flight.first; at != none && before(start, block.end); before_it = at, at = records_[at].next) {
    const Sequence end = records_[at].end;
    if (at_or_before(end, block.start) || records_[at].fate == Fate::sacked) {
      start = end;
      continue;
    }
    const Range part{later(start, block.start), earlier(end, block.end)};
    const base::Time sent = records_[at].sent;
    const bool again = records_[at].again;
    if (part.start == start && part.end != end && before_it != none && records_[before_it].fate == Fate::sacked) {
      // A sacked range grows: its border moves.
      if (records_[at].fate == Fate::lost) flight.lost -= part.size();
      flight.sacked += part.size();
      records_[before_it].end = part.end;
      deliveries.add(sent, part.end, again);
      return newly + part.size();
    }
    if (part.start != start) {
      if (!split(flight, at, part.start)) return newly;
      before_it = at;
      at = records_[at].next;
    }
    if (part.end != end && !split(flight, at, part.end)) return newly;
    set_fate(flight, at, part.size(), Fate::sacked);
    newly += part.size();
    deliveries.add(sent, part.end, again);
    start = part.end;
    if (before_it != none && records_[before_it].fate == Fate::sacked) at = before_it;
    join(flight, at);
    start = records_[at].end;
  }
  return newly;
}

// `visit(at, record, bytes)` for each record, in their order; it neither adds nor removes any.
template <class Visitor>
void FlightMemory::for_each(const Flight& flight, Sequence unacknowledged, Visitor&& visit) {
  Sequence start = unacknowledged;
  for (uint32_t at = flight.first; at != none; at = records_[at].next) {
    Record& record = records_[at];
    const uint32_t bytes = record.end - start;
    start = record.end;
    visit(at, record, bytes);
  }
}

// ---- what was lost --------------------------------------------------------------------------------------------------

base::Duration FlightMemory::lose_overdue(Flight& flight, Sequence unacknowledged, const Rack& rack,
                                          base::Duration window, base::Time now) {
  base::Duration wait{};
  if (!rack.any) return wait;
  const base::Duration patience = rack.round_trip + window;
  for_each(flight, unacknowledged, [&](uint32_t at, Record& record, uint32_t bytes) {
    if (record.again && record.sent == now) return;  // has only just left, on whatever clock
    if (record.fate != Fate::flying || !Rack::sent_later(rack.sent, rack.end, record.sent, record.end)) return;
    const base::Duration left = record.sent + patience - now;
    if (left.count() > 0)
      wait = std::max(wait, left);
    else
      set_fate(flight, at, bytes, Fate::lost);
  });
  return wait;
}

void FlightMemory::lose_at_timeout(Flight& flight, Sequence unacknowledged, base::Duration age, base::Time now) {
  for_each(flight, unacknowledged, [&](uint32_t at, Record& record, uint32_t bytes) {
    if (record.fate == Fate::flying && (at == flight.first || record.sent + age <= now))
      set_fate(flight, at, bytes, Fate::lost);
  });
}

void FlightMemory::lose_all(Flight& flight, Sequence unacknowledged) {
  for_each(flight, unacknowledged, [&](uint32_t at, Record& record, uint32_t bytes) {
    if (record.fate == Fate::flying) set_fate(flight, at, bytes, Fate::lost);
  });
}

void FlightMemory::forget_sacked(Flight& flight, Sequence unacknowledged) {
  for_each(flight, unacknowledged, [&](uint32_t at, Record& record, uint32_t bytes) {
    if (record.fate != Fate::sacked) return;
    set_fate(flight, at, bytes, Fate::lost);
    record.again = true;  // its ACK may be of what arrived the first time
  });
}

void FlightMemory::forget_lost(Flight& flight, Sequence unacknowledged) {
  for_each(flight, unacknowledged, [&](uint32_t at, Record& record, uint32_t bytes) {
    if (record.fate == Fate::lost) set_fate(flight, at, bytes, Fate::flying);
  });
}

Range FlightMemory::first_lost(const Flight& flight, Sequence unacknowledged) const {
  Sequence start = unacknowledged;
  for (uint32_t at = flight.first; at != none; at = records_[at].next) {
    if (records_[at].fate == Fate::lost) return {start, records_[at].end};
    start = records_[at].end;
  }
  CHECK(false);
  return {};
}

Sequence FlightMemory::last_start(const Flight& flight, Sequence unacknowledged) const {
  Sequence start = unacknowledged;
  for (uint32_t at = flight.first; at != flight.last; at = records_[at].next) start = records_[at].end;
  return start;
}

// ---- records --------------------------------------------------------------------------------------------------------

void FlightMemory::append(Flight& flight, const Record& record) {
  const uint32_t added = records_.take();
  CHECK(added != none);
  records_[added] = record;
  if (flight.last == none)
    flight.first = added;
  else
    records_[flight.last].next = added;
  flight.last = added;
  flight.count++;
}

void FlightMemory::pop(Flight& flight) {
  const uint32_t gone = flight.first;
  flight.first = records_[gone].next;
  if (flight.first == none) flight.last = none;
  flight.count--;
  records_.give(gone);
}

bool FlightMemory::split(Flight& flight, uint32_t at, Sequence cut) {
  if (!has_record(flight)) return false;
  const uint32_t added = records_.take();
  records_[added] = records_[at];
  records_[at].end = cut;
  records_[at].next = added;
  if (flight.last == at) flight.last = added;
  flight.count++;
  return true;
}

void FlightMemory::set_fate(Flight& flight, uint32_t at, uint32_t bytes, Fate fate) {
  Record& record = records_[at];
  if (record.fate == Fate::sacked) flight.sacked -= bytes;
  if (record.fate == Fate::lost) flight.lost -= bytes;
  if (fate == Fate::sacked) flight.sacked += bytes;
  if (fate == Fate::lost) flight.lost += bytes;
  record.fate = fate;
}

// Only sacked ones: when they were sent does not matter any more.
void FlightMemory::join(Flight& flight, uint32_t at) {
  while (records_[at].next != none && records_[records_[at].next].fate == Fate::sacked) {
    const uint32_t gone = records_[at].next;
    records_[at].end = records_[gone].end;
    records_[at].next = records_[gone].next;
    if (flight.last == gone) flight.last = at;
    flight.count--;
    records_.give(gone);
  }
}

size_t FlightMemory::check(const Flight& flight, Sequence unacknowledged, Sequence max) const {
  size_t count = 0;
  uint32_t sacked = 0, lost = 0;
  Sequence start = unacknowledged;
  for (uint32_t at = flight.first; at != none; at = records_[at].next) {
    const Record& record = records_[at];
    CHECK(after(record.end, start) && (record.next == none) == (at == flight.last));
    if (record.fate == Fate::sacked) sacked += record.end - start;
    if (record.fate == Fate::lost) lost += record.end - start;
    start = record.end;
    count++;
  }
  CHECK(count == flight.count && count <= records_max && sacked == flight.sacked && lost == flight.lost);
  CHECK(flight.tracked ? start == max : count == 0);
  return count;
}

}  // namespace talaria::tcp
