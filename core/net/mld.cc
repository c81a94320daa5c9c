#include "core/net/mld.h"

#include <algorithm>

namespace talaria::net {
namespace {

constexpr uint8_t robustness = 2;                                        // RFC 3810 9.1
constexpr base::Duration join_interval = std::chrono::seconds(1);        // 9.11
constexpr base::Duration version_1_timeout = std::chrono::seconds(260);  // 9.12, with the defaults of 9.2 and 9.3
constexpr size_t version_1_body = 20, version_2_body_min = 24;
enum Record : uint8_t { mode_is_exclude = 2, change_to_exclude_mode = 4 };

// RFC 3810 5.1.3: a floating-point number beyond 32768.
base::Duration delay_of(uint16_t code) {
  const uint64_t mantissa = code & 0xfff, exponent = code >> 12 & 7;
  return std::chrono::milliseconds(code < 32768 ? code : (mantissa | 0x1000) << (exponent + 3));
}

}  // namespace

std::optional<MldQuery> parse_mld_query(base::Bytes body) {
  if (body.size() != version_1_body && body.size() < version_2_body_min) return {};
  const uint16_t code = base::load_be16(body.data());
  const bool version_1 = body.size() == version_1_body;
  return MldQuery{version_1 ? std::chrono::milliseconds(code) : delay_of(code), version_1};
}

size_t emit_mld_report_v2(std::span<const IpAddress> groups, bool changed, uint8_t* to) {
  base::store_be16(to, 0);
  base::store_be16(to + 2, static_cast<uint16_t>(groups.size()));
  uint8_t* record = to + 4;
  for (const IpAddress& group : groups) {
    // Everything but nothing: from any source.
    record[0] = changed ? change_to_exclude_mode : mode_is_exclude;
    record[1] = 0;
    base::store_be16(record + 2, 0);
    store_ipv6_address(record + 4, group);
    record += mld_record_bytes;
  }
  return static_cast<size_t>(record - to);
}

void emit_mld_report_v1(const IpAddress& group, uint8_t* to) {
  base::store_be32(to, 0);
  store_ipv6_address(to + 4, group);
}

void MldReports::on_join(base::Time now) {
  changes_left_ = robustness;
  due_ = std::min(due_, now);
}

void MldReports::on_query(const MldQuery& query, base::Time now) {
  if (query.version_1) version_1_until_ = now + version_1_timeout;
  uint8_t when[8];
  base::store_be64(when, static_cast<uint64_t>(now.time_since_epoch().count()));
  const auto longest =
      static_cast<uint64_t>(std::max<base::Duration>(query.delay_max, std::chrono::milliseconds(1)).count());
  due_ = std::min(due_, now + base::Duration(base::siphash24(key_, when) % longest));
}

std::optional<MldReports::Report> MldReports::on_time(base::Time now) {
  if (now < due_) return {};
  const Report report{.changed = changes_left_ > 0, .version_1 = now < version_1_until_};
  if (changes_left_ > 0) changes_left_--;
  due_ = changes_left_ > 0 ? now + join_interval : base::never;
  return report;
}

}  // namespace talaria::net
