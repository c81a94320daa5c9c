#include "core/net/dhcp.h"

#include <algorithm>
#include <bit>

namespace talaria::net {
namespace {

using namespace std::chrono_literals;

enum Option : uint8_t {
  option_pad = 0,
  option_mask = 1,
  option_router = 3,
  option_requested = 50,
  option_lease = 51,
  option_type = 53,
  option_server = 54,
  option_parameters = 55,
  option_size_max = 57,
  option_renewal = 58,
  option_rebinding = 59,
  option_client = 61,
  option_end = 255,
};

constexpr size_t options_at = 240;
constexpr uint32_t magic_cookie = 0x63825363;
constexpr uint8_t boot_request = 1, boot_reply = 2, ethernet_hardware = 1;
constexpr uint16_t answer_by_broadcast = 0x8000;  // there is no address yet that an answer could be sent to

// RFC 2131 4.1, 4.4.5.
constexpr base::Duration first_wait = 4s, last_wait = 64s, renewal_wait_min = 60s;
constexpr uint8_t request_tries_max = 4;
constexpr base::Duration after_decline = 10s;
// A server that leases for less would be asked without end.
constexpr uint32_t lease_seconds_min = 60;
constexpr uint32_t for_ever = 0xffffffff;

std::optional<Ipv4Address> address_of(base::Bytes value) {
  if (value.size() < 4) return {};
  return Ipv4Address{base::load_be32(value.data())};
}

std::optional<uint32_t> seconds_of(base::Bytes value) {
  if (value.size() != 4) return {};
  return base::load_be32(value.data());
}

void take_option(uint8_t code, base::Bytes value, DhcpMessage& message, bool& has_type) {
  switch (code) {
    case option_type:
      if (value.size() != 1 || value[0] < 1 || value[0] > 7) return;
      message.type = DhcpType{value[0]};
      has_type = true;
      break;
    case option_mask: {
      if (value.size() != 4) return;
      const uint32_t mask = base::load_be32(value.data());
      const int bits = std::countl_one(mask);
      if (bits > 0 && mask == prefix_mask(static_cast<uint8_t>(bits))) message.prefix_bits = static_cast<uint8_t>(bits);
      break;
    }
    case option_router: message.router = address_of(value); break;
    case option_requested: message.requested = address_of(value); break;
    case option_server: message.server = address_of(value); break;
    case option_lease: message.lease = seconds_of(value); break;
    case option_renewal: message.renewal = seconds_of(value); break;
    case option_rebinding: message.rebinding = seconds_of(value); break;
    default: break;
  }
}

}  // namespace

// ---- messages -------------------------------------------------------------------------------------------------------

std::optional<DhcpMessage> parse_dhcp(base::Bytes bytes) {
  if (bytes.size() < options_at) return {};
  const uint8_t* at = bytes.data();
  if (at[0] != boot_request && at[0] != boot_reply) return {};
  if (at[1] != ethernet_hardware || at[2] != 6 || base::load_be32(at + 236) != magic_cookie) return {};
  DhcpMessage message;
  message.from_server = at[0] == boot_reply;
  message.transaction = base::load_be32(at + 4);
  message.seconds = base::load_be16(at + 8);
  message.client.value = base::load_be32(at + 12);
  message.yours.value = base::load_be32(at + 16);
  std::copy_n(at + 28, 6, message.mac.begin());
  bool has_type = false;
  for (size_t next = options_at; next < bytes.size() && at[next] != option_end;) {
    if (at[next] == option_pad) {
      next++;
      continue;
    }
    if (next + 2 > bytes.size() || next + 2 + at[next + 1] > bytes.size()) return {};
    take_option(at[next], bytes.subspan(next + 2, at[next + 1]), message, has_type);
    next += 2u + at[next + 1];
  }
  if (!has_type) return {};
  return message;
}

size_t emit_dhcp(const DhcpMessage& message, uint8_t* to) {
  std::fill_n(to, dhcp_bytes_max, uint8_t{0});
  to[0] = message.from_server ? boot_reply : boot_request;
  to[1] = ethernet_hardware;
  to[2] = 6;
  base::store_be32(to + 4, message.transaction);
  base::store_be16(to + 8, message.seconds);
  base::store_be16(to + 10, message.client.is_unspecified() ? answer_by_broadcast : uint16_t{0});
  base::store_be32(to + 12, message.client.value);
  base::store_be32(to + 16, message.yours.value);
  std::copy(message.mac.begin(), message.mac.end(), to + 28);
  base::store_be32(to + 236, magic_cookie);
  uint8_t* at = to + options_at;
  auto put = [&](uint8_t code, base::Bytes value) {
    *at++ = code;
    *at++ = static_cast<uint8_t>(value.size());
    at = std::copy(value.begin(), value.end(), at);
  };
  auto put_number = [&](uint8_t code, uint32_t value) {
    uint8_t bytes[4];
    base::store_be32(bytes, value);
    put(code, bytes);
  };
  const uint8_t type[] = {static_cast<uint8_t>(message.type)};
  put(option_type, type);
  uint8_t client[7] = {ethernet_hardware};
  std::copy(message.mac.begin(), message.mac.end(), client + 1);
  if (!message.from_server) put(option_client, client);
  if (message.requested) put_number(option_requested, message.requested->value);
  if (message.server) put_number(option_server, message.server->value);
  if (message.lease) put_number(option_lease, *message.lease);
  if (message.renewal) put_number(option_renewal, *message.renewal);
  if (message.rebinding) put_number(option_rebinding, *message.rebinding);
  if (message.prefix_bits) put_number(option_mask, prefix_mask(*message.prefix_bits));
  if (message.router) put_number(option_router, message.router->value);
  if (!message.from_server && message.type != DhcpType::decline) {
    const uint8_t wanted[] = {option_mask, option_router, option_lease, option_renewal, option_rebinding};
    put(option_parameters, wanted);
    const uint8_t size[] = {576 >> 8, 576 & 0xff};
    put(option_size_max, size);
  }
  *at = option_end;
  return dhcp_bytes_max;
}

// ---- the client -----------------------------------------------------------------------------------------------------

DhcpClient::DhcpClient(const MacAddress& mac, base::HashKey key, base::Time now) : mac_(mac), key_(key) {
  select(now, {});
}

void DhcpClient::select(base::Time now, base::Duration after) {
  state_ = State::selecting;
  tries_ = 0;
  began_ = due_ = now + after;
  uint8_t bytes[8];
  base::store_be64(bytes, drawn_++);
  transaction_ = static_cast<uint32_t>(base::siphash24(key_, bytes));
}

// Twice as long each time, give or take a second, so that clients do not keep step (RFC 2131 4.1).
base::Duration DhcpClient::back_off() {
  uint8_t bytes[8];
  base::store_be64(bytes, drawn_++);
  const auto blur = std::chrono::milliseconds(base::siphash24(key_, bytes) % 2000);
  const base::Duration wait = std::min(first_wait * (1 << std::min<int>(tries_, 4)), last_wait);
  if (tries_ < UINT8_MAX) tries_++;
  return wait - 1s + blur;
}

DhcpMessage DhcpClient::message(DhcpType type, base::Time now) const {
  const auto seconds = (now - began_) / std::chrono::seconds(1);
  return {.type = type,
          .transaction = transaction_,
          .seconds = static_cast<uint16_t>(std::clamp<int64_t>(seconds, 0, UINT16_MAX)),
          .mac = mac_,
          .server = {},
          .requested = {},
          .prefix_bits = {},
          .router = {},
          .lease = {},
          .renewal = {},
          .rebinding = {}};
}

void DhcpClient::send_discover(base::Time now) {
  steps_.push_back({.action = Action::send_to_all, .message = message(DhcpType::discover, now)});
  due_ = now + back_off();
}

// RFC 2131 4.3.2, table 5: who says what when.
void DhcpClient::send_request(base::Time now) {
  Step step{.action = Action::send_to_all, .message = message(DhcpType::request, now), .server = server_};
  if (state_ == State::requesting) {
    step.message.requested = offered_;
    step.message.server = server_;
  } else {
    step.message.client = lease_.address.address.v4();
    if (state_ == State::renewing) step.action = Action::send_to_server;
  }
  steps_.push_back(step);
}

void DhcpClient::on_message(const DhcpMessage& heard, base::Time now) {
  if (!heard.from_server || heard.transaction != transaction_ || heard.mac != mac_) return;
  switch (heard.type) {
    case DhcpType::offer:
      if (state_ != State::selecting || !heard.server || !IpAddress(heard.yours).is_unicast()) return;
      server_ = *heard.server;
      offered_ = heard.yours;
      state_ = State::requesting;
      tries_ = 0;
      asked_ = now;
      send_request(now);
      due_ = now + back_off();
      return;
    case DhcpType::ack:
      if (state_ != State::selecting && state_ != State::bound) on_ack(heard, now);
      return;
    case DhcpType::nak:
      if (state_ == State::requesting) return select(now, 1s);
      if (state_ == State::renewing || state_ == State::rebinding) return lose(now, 1s);
      return;
    default: return;
  }
}

void DhcpClient::on_ack(const DhcpMessage& ack, base::Time now) {
  if (!IpAddress(ack.yours).is_unicast() || (state_ == State::requesting && ack.yours != offered_)) return;
  const uint32_t lease = std::max(ack.lease.value_or(lease_seconds_min), lease_seconds_min);
  const uint32_t renewal = std::min(ack.renewal.value_or(lease / 2), lease);
  const uint32_t rebinding = std::clamp(ack.rebinding.value_or(lease / 8 * 7), renewal, lease);
  auto after = [&](uint32_t seconds) {
    return lease == for_ever ? base::never : asked_ + std::chrono::seconds(seconds);
  };
  renewal_ = after(renewal);
  rebinding_ = after(rebinding);
  end_ = after(lease);
  if (ack.server) server_ = *ack.server;
  const Lease got{.address = {ack.yours, ack.prefix_bits.value_or(24)}, .router = ack.router};
  const bool had = state_ != State::requesting;
  if (had && got != lease_) steps_.push_back({.action = Action::lost, .lease = lease_});
  if (!had || got != lease_) steps_.push_back({.action = Action::got, .lease = got});
  lease_ = got;
  state_ = State::bound;
  due_ = std::max(renewal_, now);
}

void DhcpClient::on_conflict(base::Time now) {
  if (state_ == State::selecting || state_ == State::requesting) return;
  DhcpMessage decline = message(DhcpType::decline, now);
  decline.requested = lease_.address.address.v4();
  decline.server = server_;
  steps_.push_back({.action = Action::send_to_all, .message = decline});
  lose(now, after_decline);
}

void DhcpClient::lose(base::Time now, base::Duration after) {
  steps_.push_back({.action = Action::lost, .lease = lease_});
  select(now, after);
}

void DhcpClient::on_link_up(base::Time now) {
  if (state_ == State::selecting || state_ == State::requesting) return select(now, {});
  rebinding_ = std::min(rebinding_, now);
  due_ = now;
}

void DhcpClient::on_time(base::Time now) {
  if (now < due_) return;
  switch (state_) {
    case State::selecting: return send_discover(now);
    case State::requesting:
      if (tries_ >= request_tries_max) return select(now, {});
      send_request(now);
      due_ = now + back_off();
      return;
    default: break;
  }
  if (now >= end_) return lose(now, {});
  if (state_ == State::bound) {
    // The lease runs from the first request that its server may have heard (RFC 2131 4.4.1).
    asked_ = now;
    began_ = now;
    state_ = State::renewing;
  }
  if (now >= rebinding_) state_ = State::rebinding;
  send_request(now);
  // Half of what is left, and not more often than once a minute (RFC 2131 4.4.5).
  const base::Time limit = state_ == State::renewing ? rebinding_ : end_;
  due_ = std::min(limit, now + std::max<base::Duration>((limit - now) / 2, renewal_wait_min));
}

}  // namespace talaria::net
