// Multicast Listener Discovery (RFC 3810, RFC 2710): a host says on which groups it listens. Switches that snoop pass
// Neighbour Discovery on to none that did not.
//
//  query      type 130 | code 1 | checksum 2 | longest delay 2 | reserved 2 | group 16 [| version 2: more]
//  report v2  type 143 | 0 1    | checksum 2 | reserved 2 | records 2 | record: type 1, 0 1, sources 2 (0), group 16;
//  ... report v1  type 131 | code 1 | checksum 2 | 0 4 | group 16
//
// Each goes with hop limit 1 behind a hop-by-hop header with the router alert option.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/net/ip_address.h"

namespace talaria::net {

inline constexpr uint8_t mld_query = 130, mld_report_v1 = 131, mld_report_v2 = 143;
inline constexpr IpAddress mld_reports_group{0xff02ull << 48, 0x16};
// The hop-by-hop header: next header ICMPv6, router alert (RFC 2711), padding.
inline constexpr uint8_t mld_hop_by_hop[8] = {58, 0, 5, 2, 0, 0, 1, 0};

struct MldQuery {
  base::Duration delay_max{};
  bool version_1 = false;
};
// Of a body, behind the first 4 bytes of the message. Empty if it has no length a query has (RFC 3810 8.1).
std::optional<MldQuery> parse_mld_query(base::Bytes body);

inline constexpr size_t mld_record_bytes = 20;
// A body; returns how many bytes. `changed`: these are groups that were just joined, not the answer to a query.
size_t emit_mld_report_v2(std::span<const IpAddress> groups, bool changed, uint8_t* to);
inline constexpr size_t mld_report_v1_bytes = 20;
void emit_mld_report_v1(const IpAddress& group, uint8_t* to);

// When to report. A state machine without a wire or a clock.
class MldReports {
 public:
  struct Report {
    bool changed = false;
    bool version_1 = false;  // a router of the link knows no other
  };

  // Delays are drawn with `key`: all hosts of a link that answer a query are not to answer at once.
  explicit MldReports(base::HashKey key) : key_(key) {}

  // There is a new group: it is said at once, and a second later, as the first may be lost.
  void on_join(base::Time now);
  void on_query(const MldQuery& query, base::Time now);
  // What is to be said now, of all groups.
  std::optional<Report> on_time(base::Time now);
  base::Time next_deadline() const { return due_; }

 private:
  base::HashKey key_;
  base::Time due_ = base::never;
  uint8_t changes_left_ = 0;
  base::Time version_1_until_{};
};

}  // namespace talaria::net
