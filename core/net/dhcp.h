// An IPv4 address from a DHCP server (RFC 2131, options of RFC 2132): messages as bytes and as values, and the client.
//
//   op 1 | htype 1 | hlen 1 | hops 1 | xid 4 | secs 2 | flags 2 | ciaddr 4 | yiaddr 4 | siaddr 4 | giaddr 4 |
//   chaddr 16 | sname 64 | file 128 | magic cookie 4 | options: code 1, length 1, ...
//
//   selecting --offer--> requesting --ack--> bound --T1--> renewing --T2--> rebinding --lease over--> selecting
//       ^                    |nak                ^-------ack-------'-----------'  |nak
//       '--------------------'                                                    '--> selecting
//
// The client is a state machine without a wire, a clock or randomness of its own: it is told what was heard and what
// time it is, and says in `take_steps` what is to be done.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/hash.h"
#include "core/base/time.h"
#include "core/net/device.h"
#include "core/net/ip_address.h"

namespace talaria::net {

inline constexpr uint16_t dhcp_server_port = 67;
inline constexpr uint16_t dhcp_client_port = 68;
inline constexpr size_t dhcp_bytes_max = 300;  // of a message that we write; BOOTP's least (RFC 1542 2.1)

enum class DhcpType : uint8_t { discover = 1, offer = 2, request = 3, decline = 4, ack = 5, nak = 6, release = 7 };

struct DhcpMessage {
  DhcpType type = DhcpType::discover;
  bool from_server = false;
  uint32_t transaction = 0;
  uint16_t seconds = 0;  // since the client began
  Ipv4Address client{};  // ciaddr: what it has and uses
  Ipv4Address yours{};   // yiaddr
  MacAddress mac{};
  std::optional<Ipv4Address> server;                  // option 54
  std::optional<Ipv4Address> requested;               // option 50
  std::optional<uint8_t> prefix_bits;                 // option 1, if it is a mask
  std::optional<Ipv4Address> router;                  // option 3, the first of them
  std::optional<uint32_t> lease, renewal, rebinding;  // options 51, 58, 59: seconds
};

// Empty if short, not for Ethernet, or without a type; an option that reaches beyond the message makes it none.
std::optional<DhcpMessage> parse_dhcp(base::Bytes bytes);
// Writes dhcp_bytes_max bytes: what a client says, options 53, 61, 50, 54, 55, 57.
size_t emit_dhcp(const DhcpMessage& message, uint8_t* to);

class DhcpClient {
 public:
  enum class State : uint8_t { selecting, requesting, bound, renewing, rebinding };
  enum class Action : uint8_t {
    send_to_all,     // `message`, from 0.0.0.0, or from the address in `message.client`
    send_to_server,  // from `message.client` to `server`
    got,             // `lease` is ours
    lost,            // and no longer
  };
  struct Lease {
    IpPrefix address;
    std::optional<Ipv4Address> router;

    bool operator==(const Lease&) const = default;
  };
  struct Step {
    Action action = Action::send_to_all;
    DhcpMessage message{};
    Ipv4Address server{};
    Lease lease{};
  };

  // `key` is secret and random: transactions and waiting times come from it.
  DhcpClient(const MacAddress& mac, base::HashKey key, base::Time now);

  void on_message(const DhcpMessage& heard, base::Time now);
  // Somebody else uses the address that we were given: it is declined (RFC 2131 3.1 (5)).
  void on_conflict(base::Time now);
  // The link is there again, or at last: whoever serves it is asked at once, also whether the lease still holds.
  void on_link_up(base::Time now);
  void on_time(base::Time now);
  base::Time next_deadline() const { return due_; }
  State state() const { return state_; }
  // The address of its lease.
  bool holds(Ipv4Address address) const {
    return state_ != State::selecting && state_ != State::requesting && lease_.address.address == IpAddress(address);
  }
  std::vector<Step> take_steps() { return std::exchange(steps_, {}); }

 private:
  void select(base::Time now, base::Duration after);
  void on_ack(const DhcpMessage& ack, base::Time now);
  void send_discover(base::Time now);
  void send_request(base::Time now);
  void lose(base::Time now, base::Duration after);
  DhcpMessage message(DhcpType type, base::Time now) const;
  base::Duration back_off();

  MacAddress mac_;
  base::HashKey key_;
  State state_ = State::selecting;
  uint32_t transaction_ = 0;
  uint64_t drawn_ = 0;  // numbers from the key
  base::Time began_{};
  base::Time asked_{};  // when the request whose answer counts was first sent: the lease runs from there
  base::Time due_{};
  uint8_t tries_ = 0;
  Ipv4Address server_{};
  Ipv4Address offered_{};
  Lease lease_{};
  base::Time renewal_{}, rebinding_{}, end_{};
  std::vector<Step> steps_;
};

}  // namespace talaria::net
