// One producer: a connection that publishes, and what it has published and not seen confirmed.
//
// Messages are written straight into the send buffer, several to a reservation. A producer stops when TCP's buffer is
// full, when its confirm window is, or when the broker said connection.blocked; paced messages keep the time they were
// due meanwhile.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/histogram.h"
#include "core/base/time.h"
#include "load/connection.h"
#include "load/routes.h"
#include "load/schedule.h"

namespace talaria::load {

// The part of a run that is measured: messages that were due in it.
struct Window {
  base::Time begin = base::never;
  base::Time end = base::never;

  bool contains(base::Time time) const { return time >= begin && time < end; }
};

class Producer {
 public:
  // `sequences`: the next number of each stream. Everything outlives the producer.
  Producer(Connection& connection, tcp::Stack& stack, const Plan& plan, const Publishes& publishes, uint32_t index,
           std::vector<uint64_t>& sequences, base::FineHistogram& confirm_latency);

  Connection& connection() { return connection_; }

  // Flat out: at most `count` messages, all due now. Returns how many were written.
  uint64_t publish(base::Time now, uint64_t count);
  // Paced: at most `count` of its own that the schedule holds next.
  uint64_t publish(const Schedule& schedule, uint64_t count);
  // Nothing can be written now. Something comes in, or TCP says `writable`, before that changes.
  bool stuck() const;

  // ---- what came for it; see frame_reader.h
  void read(base::Time now, const Window& window);

  uint64_t published() const { return published_; }
  uint64_t confirmed() const { return confirmed_; }
  uint64_t refused() const { return refused_; }  // basic.nack
  uint64_t returned() const { return returned_; }
  bool all_confirmed() const { return plan_.confirm_window == 0 || confirmed_ + refused_ == published_; }
  // confirm.select; once.
  void select_confirms();
  bool confirm_selected() const { return confirm_selected_; }

 private:
  struct Incoming;

  template <class DueOf>
  uint64_t publish_with(uint64_t count, DueOf due_of);
  size_t next_bytes() const { return publishes_.bytes(route_, publishes_.size_index(published_)); }
  size_t store_next(uint8_t* at, base::Time due);
  bool publish_large(base::Time due);
  uint64_t confirm_room() const;
  void on_confirm(uint64_t tag, bool multiple, bool refused, base::Time now, const Window& window);

  Connection& connection_;
  tcp::Stack& stack_;
  const Plan& plan_;
  const Publishes& publishes_;
  std::vector<uint64_t>& sequences_;
  base::FineHistogram& confirm_latency_;
  uint32_t index_;
  uint32_t route_ = 0;
  uint32_t stride_ = 0;
  uint64_t published_ = 0;
  uint64_t confirmed_ = 0;
  uint64_t refused_ = 0;
  uint64_t returned_ = 0;
  bool select_sent_ = false;
  bool confirm_selected_ = false;

  // Publishes in the order of their tags, as far as not confirmed; a ring of a power of two.
  struct Unconfirmed {
    base::Time due{};
    bool settled = false;
  };
  std::vector<Unconfirmed> unconfirmed_;
  uint64_t settled_below_ = 0;  // every tag up to this one is settled
  std::vector<uint8_t> large_;  // a message that is longer than a reservation, on its way
};

}  // namespace talaria::load
