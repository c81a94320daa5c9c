// The verbs of the control socket: one JSON object in, one out. It turns them into calls of the plane and the listings,
// and knows nothing of sockets.
//
//     {"command":"list_queues","vhost":"/","columns":["name","messages"]}
//     {"ok":true,"result":[{"name":"q","messages":3}]}
//     {"ok":false,"error":"not_found","message":"no queue 'q' in vhost '/'"}
//
// Errors: bad_request unknown_command bad_argument not_found no_such_user no_such_vhost already_exists in_use not_empty
// store_failed too_large access_refused. The control thread alone calls it. No input makes it throw.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "control/capture.h"
#include "control/plane.h"
#include "control/rates.h"
#include "control/statistics.h"

namespace talaria::control {

class Commands {
 public:
  // An answer is never greater than this.
  static constexpr size_t reply_bytes_max = 64 << 20;

  // `frames`: where a capture's lie; none: nothing is captured here.
  Commands(Plane& plane, const Statistics& statistics, std::string version, FrameBuffers* frames = nullptr);

  // A verb under way: `result` goes out when the ticket has come through.
  struct Pending {
    Ticket ticket = 0;
    bool count_is_result = false;
    nlohmann::json result;
  };
  // The reply's line without its end, or nothing: then `pending` is to be asked after, or abandoned.
  std::optional<std::string> start(std::string_view line, Pending& pending);
  std::optional<std::string> finish(Pending& pending);
  // The same by an account that is not the operator's: what it may its tags say, and in which vhosts its permissions.
  // `arguments`: a JSON object, or nothing. A vhost that is not named is the one that is given.
  std::optional<std::string> start_for(const std::string& user, const std::string& vhost, const std::string& verb,
                                       std::string_view arguments, Pending& pending);
  static std::string too_large(const char* most);
  void abandon(Pending& pending) { plane_.forget(pending.ticket); }

  // The socket sent a client away: too many, too slow, too long a line.
  void count_dropped_operator() { operators_dropped_++; }
  uint64_t operators_dropped() const { return operators_dropped_; }

  // Between the calls, now and then: samples for the rates.
  void poll(base::Time now);
  // An operator asked for the broker's end.
  bool stop_requested() const { return stop_requested_; }

 private:
  using Arguments = nlohmann::json;
  std::optional<std::string> carry_out(const nlohmann::json& request, Pending& pending);
  nlohmann::json run(const std::string& verb, const Arguments& arguments, Pending& pending);
  bool change(const std::string& verb, const Arguments& arguments, Pending& pending);
  const Vhost& vhost(const Arguments& arguments) const;
  nlohmann::json capture(const std::string& verb, const Arguments& arguments);
  nlohmann::json status() const;
  nlohmann::json list(const std::string& verb, const Arguments& arguments) const;
  nlohmann::json workers() const;
  nlohmann::json counters() const;
  nlohmann::json ports() const;
  nlohmann::json latency() const;
  nlohmann::json turns() const;
  static nlohmann::json log_level(const Arguments& arguments);
  int64_t wall_offset_ms() const;

  Plane& plane_;
  const Statistics& statistics_;
  std::string version_;
  Capture capture_;
  Rates rates_;
  std::optional<base::Time> started_;
  bool stop_requested_ = false;
  uint64_t operators_dropped_ = 0;
};

}  // namespace talaria::control
