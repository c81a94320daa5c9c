// What is in flight, and since when: the memory of RACK (RFC 8985), SACK (RFC 2018) and the pipe (RFC 6675).
//
//   unacknowledged                                                                        max
//    v                                                                                     v
//    | flying, 3.1 ms, again | sacked | lost | flying, 4.0 ms |     flying, 7.2 ms         |
//    record                    record   record  record           record
//
// The records of a connection follow each other without a gap from the first unacknowledged number to the last that was
// sent. Bytes that were sent at about the same time and share a fate share a record, so a turn's burst is one record
// and a window of them some dozens. They come from one memory for all connections: who has nothing in flight holds
// none.
//
// If a record is wanted and there is none, or a connection has records_max, a SACK block is not remembered (which costs
// a retransmission), new bytes join the last record, or the connection loses track: its flight is let go, and until
// what was sent by then is acknowledged it recovers as if the peer had no SACK.
//
// The peer may go back on what it sacked until it acknowledges it (RFC 2018 8): data stays queued.
//
// One FlightMemory a stack, owned by its worker; a Flight per connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>

#include "core/base/slab.h"
#include "core/base/time.h"
#include "core/tcp/rack.h"
#include "core/tcp/sequence.h"

namespace talaria::tcp {

struct Flight {
  uint32_t first = base::none;
  uint32_t last = base::none;
  uint32_t sacked = 0;            // bytes
  uint32_t lost = 0;              // bytes
  uint16_t count = 0;             // records
  bool tracked = false;           // false: no SACK, or track was lost
  Sequence tracked_again_at = 0;  // when this is acknowledged, track can be kept again
};

class FlightMemory {
 public:
  static constexpr uint16_t records_max = 512;  // of one connection: a walk through them stays short

  FlightMemory(size_t records, std::pmr::memory_resource* memory) : records_(records, memory) {}

  // New bytes up to `end` left. Those that leave within `grain` of each other are told apart by their numbers alone.
  void sent(Flight& flight, Sequence end, base::Time now, base::Duration grain);
  // Bytes that had been sent before left again; they lie within one record that is not sacked.
  void sent_again(Flight& flight, Sequence unacknowledged, Range range, Sequence max, base::Time now,
                  base::Duration grain);
  // Track is kept again: of everything up to `max` nothing is known but that it was sent.
  void track(Flight& flight, Sequence unacknowledged, Sequence max, base::Time now);

  // Everything before `acknowledgement` is acknowledged.
  void acknowledge(Flight& flight, Sequence unacknowledged, Sequence acknowledgement, Deliveries& deliveries);
  // Takes in a SACK block that lies within [unacknowledged, max]. Returns how many bytes were not sacked before.
  uint32_t sack(Flight& flight, Sequence unacknowledged, Range block, Deliveries& deliveries);

  // What flies, was sent before what RACK saw arrive, and is overdue by more than `window`, is lost. Returns how long
  // until more of it is; 0 if there is nothing to wait for.
  base::Duration lose_overdue(Flight& flight, Sequence unacknowledged, const Rack& rack, base::Duration window,
                              base::Time now);
  // RFC 8985 6.3: the retransmission timer fired. The first bytes are lost, and what was sent `age` ago or before.
  void lose_at_timeout(Flight& flight, Sequence unacknowledged, base::Duration age, base::Time now);
  // Everything that is not sacked is lost.
  void lose_all(Flight& flight, Sequence unacknowledged);
  // The peer went back on what it sacked: that is lost.
  void forget_sacked(Flight& flight, Sequence unacknowledged);
  // Nothing was lost after all: it flies, as sent when it was.
  void forget_lost(Flight& flight, Sequence unacknowledged);

  // The first bytes that are lost. There are some.
  Range first_lost(const Flight& flight, Sequence unacknowledged) const;
  // Where the last record begins. There is one.
  Sequence last_start(const Flight& flight, Sequence unacknowledged) const;
  // The first byte is sacked, though everything before it is acknowledged: the peer has gone back on it.
  bool first_is_sacked(const Flight& flight) const {
    return flight.first != base::none && records_[flight.first].fate == Fate::sacked;
  }

  // The first bytes were sent more than once.
  bool first_went_again(const Flight& flight) const {
    return flight.first != base::none && records_[flight.first].again;
  }

  void lose_track(Flight& flight, Sequence max);
  void release(Flight& flight);

  size_t used() const { return records_.used(); }
  // CHECKs order and sums, and that the records end at `max`. Returns how many they are.
  size_t check(const Flight& flight, Sequence unacknowledged, Sequence max) const;

 private:
  enum class Fate : uint8_t {
    flying,  // believed to be in the network
    sacked,  // the peer has it
    lost,    // to be sent again
  };
  struct Record {
    base::Time sent;
    Sequence end = 0;  // it begins where the one before it ends
    uint32_t next = base::none;
    Fate fate = Fate::flying;
    bool again = false;  // sent more than once
  };
  static_assert(sizeof(Record) == 24);

  bool has_record(const Flight& flight) const { return flight.count < records_max && records_.free() > 0; }
  void append(Flight& flight, const Record& record);
  void pop(Flight& flight);
  // Cuts a record in two at `cut`, which lies inside it. False if there is none for the second part.
  bool split(Flight& flight, uint32_t at, Sequence cut);
  template <class Visitor>
  void for_each(const Flight& flight, Sequence unacknowledged, Visitor&& visit);
  void set_fate(Flight& flight, uint32_t at, uint32_t bytes, Fate fate);
  // Takes the records behind `at` into it as long as they are alike.
  void join(Flight& flight, uint32_t at);

  base::Slab<Record> records_;
};

}  // namespace talaria::tcp
