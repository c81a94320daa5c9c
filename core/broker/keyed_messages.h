// What some queues know of their messages by a header's value: the last one of each (x-last-value-key), or those seen
// lately (x-message-deduplication). Parts of QueueExtras; such a queue stays with its home. Values are kept by their
// fingerprints.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "core/base/time.h"
#include "core/broker/deduplication.h"

namespace talaria::broker {

// Of each value the ready message that has it: there is one at most. As many as there are messages.
class LastValues {
 public:
  // The entry's reference; 0: none.
  uint32_t find(const std::string& value) const {
    const auto found = entries_.find(value);
    return found == entries_.end() ? 0 : found->second;
  }
  void put(const std::string& value, uint32_t reference) { entries_[value] = reference; }
  void remove(const std::string& value) { entries_.erase(value); }
  void clear() { entries_.clear(); }
  size_t size() const { return entries_.size(); }

 private:
  std::unordered_map<std::string, uint32_t> entries_;
};

// The time, in milliseconds, that a message's header (HeaderReader) says; nullopt: it says none.
inline std::optional<base::Duration> cache_ttl_in(const std::optional<std::string>& header) {
  uint64_t milliseconds = 0;
  if (!header || header->size() < 2) return std::nullopt;
  const char* end = header->data() + header->size();
  const auto [at, error] = std::from_chars(header->data() + 1, end, milliseconds);
  constexpr uint64_t most = 315'360'000'000;  // ten years
  if (error != std::errc{} || at != end || milliseconds == 0) return std::nullopt;
  return std::chrono::milliseconds(std::min(milliseconds, most));
}

// What all of a worker's queues, or exchanges, remember. Who remembers one more than `most` forgets his oldest.
struct SeenTotal {
  size_t values = 0;
  size_t most = size_t{1} << 21;
};

// Values that came in the last `ttl`, if there is one, and not more than `size` of them: the oldest is forgotten first.
class SeenValues {
 public:
  SeenValues(uint32_t size, std::optional<base::Duration> ttl, SeenTotal& total)
      : size_(size), ttl_(ttl), total_(total) {}
  SeenValues(const Deduplication& wanted, SeenTotal& total) : SeenValues(wanted.cache_size, std::nullopt, total) {
    if (wanted.cache_ttl_ms) ttl_ = std::chrono::milliseconds(*wanted.cache_ttl_ms);
  }
  ~SeenValues() { total_.values -= order_.size(); }
  SeenValues(const SeenValues&) = delete;

  bool contains(const std::string& value, base::Time now) const {
    const auto found = seen_.find(value);
    return found != seen_.end() && now < found->second.until;
  }
  // `ttl`: its own, instead of that of all.
  void insert(const std::string& value, base::Time now, std::optional<base::Duration> ttl = {}) {
    const uint64_t number = ++last_;
    if (!ttl) ttl = ttl_;
    seen_[value] = {ttl ? now + *ttl : base::never, number};
    order_.emplace_back(value, number);
    total_.values++;
    // A value that came anew after its time has an older place, which means nothing.
    while (seen_.size() > size_ || order_.size() > size_t{2} * size_ ||
           (total_.values > total_.most && order_.size() > 1)) {
      const auto& [oldest, its_number] = order_.front();
      const auto found = seen_.find(oldest);
      if (found != seen_.end() && found->second.number == its_number) seen_.erase(found);
      order_.pop_front();
      total_.values--;
    }
  }
  // As if it had not come; its place in the order means nothing then.
  void forget(const std::string& value) { seen_.erase(value); }
  size_t size() const { return seen_.size(); }

 private:
  struct Seen {
    base::Time until;
    uint64_t number = 0;
  };

  uint32_t size_;
  std::optional<base::Duration> ttl_;
  SeenTotal& total_;
  uint64_t last_ = 0;
  std::unordered_map<std::string, Seen> seen_;
  std::deque<std::pair<std::string, uint64_t>> order_;
};

}  // namespace talaria::broker
