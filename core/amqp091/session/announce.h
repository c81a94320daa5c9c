// What the broker has to tell and the control plane has put into words: events, log lines, and answers to commands.
//
//   told_     to a named exchange: events and log lines, in the order in which things happened
//   answers_  to the default exchange: each to a queue or to a session, in the order of the commands
//      |
//      v  as soon as there is room, and the queue stands where it is
//   Engine::publish, Engine::hand_over
//
// The first of a line waits while a queue it goes to moves, while its worker is behind, and while there is no memory,
// and what comes behind it in that line waits as well. Events and answers do not wait for each other. What nobody
// listens to does not wait; who is bound while something waits may hear of it. Where more wait than may
// (Config::announcements_waiting, announcement_octets_waiting), the newest is lost and counted. All that waits is on
// the heap.
//
// One a worker, owned by Shared; the control plane uses worker 0's.
#pragma once

#include <cstddef>
#include <deque>

#include "core/broker/announcement.h"

namespace talaria::amqp091::session {

struct Shared;

class Announcements {
 public:
  Announcements() = default;
  Announcements(const Announcements&) = delete;
  Announcements& operator=(const Announcements&) = delete;

  void take(Shared& shared, broker::Announcement announcement);
  // A turn's work.
  void work(Shared& shared);
  bool empty() const { return told_.empty() && answers_.empty(); }

 private:
  using Line = std::deque<broker::Announcement>;

  void work(Shared& shared, Line& line);

  Line told_, answers_;
  size_t octets_ = 0;
};

}  // namespace talaria::amqp091::session
