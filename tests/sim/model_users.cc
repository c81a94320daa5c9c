// What users may do, which others decide while they do it; see model.h.

#include <algorithm>

#include "tests/sim/model.h"

namespace talaria::sim {

namespace {

// After its answer a decree may be in force, or not yet any more, for so long: turns and stalls, and a worker asks
// another one.
constexpr Duration decree_late_max = 300ms;

Time later(Time time) { return time == base::never ? time : time + decree_late_max; }

}  // namespace

size_t Model::decree_sent(const std::string& user, const std::string& queue) {
  changes_++;
  decrees_.push_back({user, queue, {.add_sent = world_.now()}});
  // What waits for a channel-wide prefetch of a consumer goes back to its queue with it.
  for (const auto& [tag, consumer] : consumers_)
    if (consumer.queue == queue && consumer.user == user) may_return_unseen(queue);
  return decrees_.size() - 1;
}
void Model::decreed(size_t decree) { decrees_[decree].life.added = world_.now(); }
void Model::repeal_sent(size_t decree) { decrees_[decree].life.remove_sent = world_.now(); }
void Model::repealed(size_t decree) { decrees_[decree].life.removed = world_.now(); }

bool Model::perhaps_decreed(const std::string& user, const std::string& queue, Time from, Time to) const {
  return std::ranges::any_of(decrees_, [&](const Decree& decree) {
    return decree.user == user && decree.queue == queue && decree.life.perhaps(from - decree_late_max, to);
  });
}

bool Model::surely_decreed(const std::string& user, const std::string& queue, Time from, Time to) const {
  return std::ranges::any_of(decrees_, [&](const Decree& decree) {
    return decree.user == user && decree.queue == queue && later(decree.life.added) <= from &&
           to < decree.life.remove_sent;
  });
}

void Model::asks_to_read(Identity channel, const std::set<Identity>& holders, const std::string& user,
                         const std::string& queue) {
  questions_[channel] = {holders, user, queue, world_.now()};
}

void Model::was_let(Identity channel) {
  const Question question = questions_.extract(channel).mapped();
  if (surely_decreed(question.user, question.queue, question.asked, world_.now()))
    fail("%s was let to queue %s, which he may not read", question.user.c_str(), question.queue.c_str());
}

void Model::was_refused(Identity channel, const std::string& text) {
  const Question question = questions_.extract(channel).mapped();
  const char* user = question.user.c_str();
  const char* queue = question.queue.c_str();
  if (text != "ACCESS_REFUSED - read access to queue '" + question.queue + "' in vhost '/' refused for user '" +
                  question.user + "'")
    fail("%s was refused queue %s with '%s'", user, queue, text.c_str());
  // So long ago they may have been gone.
  for (auto& [name, replies] : queues_)
    if (question.holders.contains(replies.replies_to))
      replies.life.remove_sent = std::min(replies.life.remove_sent, question.asked);
  if (!perhaps_decreed(question.user, question.queue, question.asked, world_.now()))
    fail("%s was refused queue %s, which he may read", user, queue);
}

bool Model::in_question(Identity holder) const {
  return std::ranges::any_of(questions_, [&](const auto& one) {
    const Question& question = one.second;
    return question.holders.contains(holder) &&
           perhaps_decreed(question.user, question.queue, question.asked, world_.now());
  });
}

void Model::could_sign(const std::string& user, Time signed_at) const {
  if (!perhaps_decreed(user, "", signed_at, world_.now()))
    fail("%s has signed with another's name, and may not", user.c_str());
}

void Model::could_not_sign(const std::string& user, Time signed_at) const {
  if (surely_decreed(user, "", signed_at, world_.now()))
    fail("%s may sign with another's name, and could not", user.c_str());
}

// Whoever looks at the decrees knows of a consumer soon after that was confirmed.
Time Model::surely_revoked_by(const Consumption& consumer) const {
  Time earliest = base::never;
  const Time known = later(consumer.life.added);
  for (const Decree& decree : decrees_)
    if (decree.user == consumer.user && decree.queue == consumer.queue && known < decree.life.remove_sent)
      earliest = std::min(earliest, later(std::max(decree.life.added, known)));
  return earliest;
}

bool Model::may_be_revoked(const Consumption& consumer) const {
  return perhaps_decreed(consumer.user, consumer.queue, consumer.life.add_sent, world_.now());
}

void Model::cancelled_unrevoked(const std::string& tag) const {
  const Consumption& consumer = consumers_.at(tag);
  if (surely_revoked_by(consumer) < consumer.life.remove_sent)
    fail("nobody told %s that he may not consume from %s any more", consumer.user.c_str(), consumer.queue.c_str());
}

void Model::check_may_read(const Message& message, const std::string& queue_name, Identity holder) const {
  const auto tag = tags_.find(holder);
  if (tag == tags_.end()) return;
  const Consumption& consumer = consumers_.at(tag->second);
  if (surely_revoked_by(consumer) < message.begun() + message.what.delay.value_or(std::chrono::milliseconds(0)))
    fail("queue %s delivered message %lu to %s, who could not read it any more when it was published",
         queue_name.c_str(), number_of(message), consumer.user.c_str());
}

}  // namespace talaria::sim
