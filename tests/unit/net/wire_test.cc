// Parsers and emitters: bytes to values and back, and what they refuse.
#include <gtest/gtest.h>

#include <numeric>

#include "core/net/arp.h"
#include "core/net/ethernet.h"
#include "core/net/icmp.h"
#include "core/net/ip_address.h"
#include "core/net/ipv4.h"

namespace talaria::net {
namespace {

TEST(NetAddress, TextBothWays) {
  EXPECT_EQ(parse_ipv4_address("198.18.0.1"), Ipv4Address{0xc6120001});
  EXPECT_EQ(to_text(Ipv4Address{0xc6120001}), "198.18.0.1");
  for (const char* bad :
       {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "a.b.c.d", "1..2.3", "-1.2.3.4"})
    EXPECT_FALSE(parse_ipv4_address(bad)) << bad;
}

TEST(NetIpAddress, TextBothWays) {
  for (const char* text : {"198.18.0.1", "::", "::1", "2001:db8::1", "fe80::1:2:3:4", "2001:db8:0:1:1:1:1:1",
                           "2001:0:0:1::1", "1:2:3:4:5:6:7:8", "::ffff:c612:1:0", "1::"}) {
    auto address = parse_ip_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_text(*address), text);
  }
  EXPECT_EQ(to_text(*parse_ip_address("2001:DB8:0:0:1:0:0:1")), "2001:db8::1:0:0:1") << "the first of two runs";
  for (const char* bad : {"", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1%eth0",
                          "::ffff:1.2.3.4", "1:2:3:4:5:6:7::8", "1.2.3", "1:"})
    EXPECT_FALSE(parse_ip_address(bad)) << bad;
}

TEST(NetIpAddress, KnowsWhatItIs) {
  const IpAddress v4 = Ipv4Address{0xc6120001};
  EXPECT_TRUE(v4.is_v4());
  EXPECT_EQ(v4.v4(), Ipv4Address{0xc6120001});
  EXPECT_TRUE(v4.is_unicast());
  EXPECT_TRUE(IpAddress(Ipv4Address{}).is_unspecified());
  EXPECT_TRUE(IpAddress(Ipv4Address{0xa9fe0101}).is_link_local());
  EXPECT_FALSE(IpAddress().is_v4());
  EXPECT_TRUE(parse_ip_address("fe80::1")->is_link_local());
  EXPECT_FALSE(parse_ip_address("fec0::1")->is_link_local());
  EXPECT_TRUE(parse_ip_address("ff02::1")->is_multicast());
  for (const char* other : {"::", "::1", "ff02::1", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0"})
    EXPECT_FALSE(parse_ip_address(other)->is_unicast()) << other;
}

TEST(NetIpAddress, PrefixesStayInTheirFamily) {
  const auto prefix = [](const char* text, uint8_t bits) { return IpPrefix{*parse_ip_address(text), bits}; };
  EXPECT_TRUE(prefix("198.18.0.0", 15).contains(*parse_ip_address("198.19.255.1")));
  EXPECT_FALSE(prefix("198.18.0.0", 16).contains(*parse_ip_address("198.19.0.0")));
  EXPECT_TRUE(prefix("0.0.0.0", 0).contains(*parse_ip_address("1.2.3.4")));
  EXPECT_FALSE(prefix("0.0.0.0", 0).contains(*parse_ip_address("::1")));
  EXPECT_FALSE(prefix("::", 0).contains(*parse_ip_address("1.2.3.4"))) << "not the mapped form either";
  EXPECT_TRUE(prefix("2001:db8::", 64).contains(*parse_ip_address("2001:db8::ffff:0:0:1")));
  EXPECT_FALSE(prefix("2001:db8::", 65).contains(*parse_ip_address("2001:db8::8000:0:0:1")));
  EXPECT_EQ(common_prefix_bits(*parse_ip_address("10.0.0.1"), *parse_ip_address("10.0.0.2")), 30);
  EXPECT_EQ(common_prefix_bits(*parse_ip_address("1::"), *parse_ip_address("1::1")), 127);
  EXPECT_EQ(common_prefix_bits(*parse_ip_address("1::"), *parse_ip_address("1::")), 128);
}

TEST(NetChecksum, Rfc1071Example) {
  const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_fold(checksum_add(0, bytes)), 0xddf2);
}

// Every length and offset against the obvious way to compute it.
TEST(NetChecksum, AgreesWithTheObviousOne) {
  std::vector<uint8_t> bytes(200);
  uint32_t random = 1;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((random = random * 1664525 + 1013904223) >> 24);
  for (size_t from = 0; from < 8; from++) {
    for (size_t size = 0; size + from <= bytes.size(); size++) {
      uint32_t sum = 0;
      for (size_t i = 0; i < size; i++) sum += i % 2 == 0 ? uint32_t{bytes[from + i]} << 8 : bytes[from + i];
      while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
      ASSERT_EQ(checksum_fold(checksum_add(0, {bytes.data() + from, size})), sum) << from << " " << size;
    }
  }
}

TEST(NetIpv4, EmitsWhatItParses) {
  uint8_t bytes[40] = {};
  Ipv4Header header{.total_bytes = 40,
                    .identification = 7,
                    .time_to_live = 9,
                    .protocol = 6,
                    .source = {0xc6120001},
                    .destination = {0xc6120002}};
  emit_ipv4(header, bytes, true);
  EXPECT_TRUE(verify_ipv4_checksum({bytes, 20}));
  auto parsed = parse_ipv4(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->total_bytes, 40);
  EXPECT_EQ(parsed->identification, 7);
  EXPECT_EQ(parsed->source.value, 0xc6120001);
  EXPECT_EQ(parsed->destination.value, 0xc6120002);
  EXPECT_FALSE(parsed->is_fragment());
  bytes[8]++;
  EXPECT_FALSE(verify_ipv4_checksum({bytes, 20}));
}

TEST(NetIpv4, RefusesImpossibleLengths) {
  uint8_t bytes[40] = {};
  emit_ipv4({.total_bytes = 40}, bytes, true);
  EXPECT_EQ(parse_ipv4({bytes, 19}).error(), Ipv4Error::too_short);
  EXPECT_EQ(parse_ipv4({bytes, 39}).error(), Ipv4Error::bad_total_length);
  bytes[0] = 0x65;
  EXPECT_EQ(parse_ipv4(bytes).error(), Ipv4Error::bad_version);
  bytes[0] = 0x44;
  EXPECT_EQ(parse_ipv4(bytes).error(), Ipv4Error::bad_header_length);
  bytes[0] = 0x4f;  // 60 bytes of header
  EXPECT_EQ(parse_ipv4(bytes).error(), Ipv4Error::bad_header_length);
  bytes[0] = 0x45;
  base::store_be16(bytes + 2, 19);
  EXPECT_EQ(parse_ipv4(bytes).error(), Ipv4Error::bad_total_length);
}

TEST(NetEthernet, VlanTagIsSeenThrough) {
  EthernetHeader header{.destination = broadcast_mac, .source = {2, 0, 0, 0, 0, 1}, .vlan = 42, .type = ethertype_ipv4};
  uint8_t bytes[18];
  EXPECT_EQ(emit_ethernet(header, bytes), 18u);
  auto parsed = parse_ethernet(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->vlan, 42);
  EXPECT_EQ(parsed->type, ethertype_ipv4);
  EXPECT_EQ(parsed->bytes, 18u);
  EXPECT_FALSE(parse_ethernet({bytes, 17}));
  EXPECT_FALSE(parse_ethernet({bytes, 13}));
}

TEST(NetArp, EmitsWhatItParses) {
  ArpMessage message{.operation = ArpOperation::reply,
                     .sender_mac = {2, 0, 0, 0, 0, 1},
                     .sender_address = {0xc6120001},
                     .target_mac = {2, 0, 0, 0, 0, 2},
                     .target_address = {0xc6120002}};
  uint8_t bytes[arp_bytes];
  emit_arp(message, bytes);
  auto parsed = parse_arp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->operation, ArpOperation::reply);
  EXPECT_EQ(parsed->sender_address, message.sender_address);
  EXPECT_EQ(parsed->target_mac, message.target_mac);
  for (size_t size = 0; size < arp_bytes; size++) EXPECT_FALSE(parse_arp({bytes, size}));
  bytes[8] = 1;  // a group address is nobody's
  EXPECT_FALSE(parse_arp(bytes));
}

TEST(NetIcmp, ChecksumIsChecked) {
  uint8_t data[] = {0, 1, 0, 2, 'x', 'y', 'z'};
  uint8_t bytes[11];
  EXPECT_EQ(emit_icmp({.type = icmp_echo_request, .code = 0, .body = data}, bytes), 11u);
  auto parsed = parse_icmp(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->type, icmp_echo_request);
  EXPECT_EQ(parsed->body.size(), 7u);
  bytes[10] ^= 1;
  EXPECT_FALSE(parse_icmp(bytes));
  EXPECT_FALSE(parse_icmp({bytes, 7}));
}

}  // namespace
}  // namespace talaria::net
