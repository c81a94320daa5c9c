// Which way a destination is reached, and from which address.
#include "core/net/routing.h"

#include <gtest/gtest.h>

namespace talaria::net {
namespace {

IpAddress at(const char* text) { return *parse_ip_address(text); }

TEST(Routing, NetworksAtHandBeforeRoutesOfTheSameLength) {
  Routing routing;
  ASSERT_TRUE(routing.add_address({at("198.18.0.2"), 24}));
  ASSERT_TRUE(routing.add_route(default_route(at("198.18.0.1"))));
  ASSERT_TRUE(routing.add_route({{at("198.18.0.0"), 24}, at("198.18.0.9")}));
  ASSERT_TRUE(routing.add_route({{at("198.18.0.128"), 25}, at("198.18.0.8")}));
  EXPECT_EQ(routing.next_hop(at("198.18.0.5")), at("198.18.0.5"));
  EXPECT_EQ(routing.next_hop(at("198.18.0.200")), at("198.18.0.8")) << "a longer prefix than the network's";
  EXPECT_EQ(routing.next_hop(at("8.8.8.8")), at("198.18.0.1"));
  EXPECT_FALSE(routing.next_hop(at("2001:db8::1"))) << "the default route is of its family";
  EXPECT_TRUE(routing.remove_route(default_route(at("198.18.0.1"))));
  EXPECT_FALSE(routing.next_hop(at("8.8.8.8")));
}

TEST(Routing, TheSourceIsInTheNetworkOfTheNextHop) {
  Routing routing;
  ASSERT_TRUE(routing.add_address({at("198.18.0.2"), 24}));
  ASSERT_TRUE(routing.add_address({at("10.1.0.2"), 16}));
  ASSERT_TRUE(routing.add_address({at("fe80::2"), 64}));
  ASSERT_TRUE(routing.add_address({at("2001:db8::2"), 64}));
  ASSERT_TRUE(routing.add_route({{at("10.2.0.0"), 16}, at("198.18.0.1")}));
  EXPECT_EQ(routing.source_for(at("10.1.0.7")), at("10.1.0.2"));
  EXPECT_EQ(routing.source_for(at("10.2.0.7")), at("198.18.0.2")) << "although 10.1.0.2 shares more with it";
  EXPECT_EQ(routing.source_for(at("fe80::9")), at("fe80::2"));
  EXPECT_EQ(routing.source_for(at("2001:db8:1::1")), at("2001:db8::2")) << "of the same scope";
  Routing none;
  EXPECT_TRUE(none.source_for(at("10.1.0.7")).is_unspecified());
}

TEST(Routing, BoundsHold) {
  Routing routing;
  for (uint32_t i = 0; i < addresses_max; i++) ASSERT_TRUE(routing.add_address({Ipv4Address{0x0a000001 + i}, 24}));
  EXPECT_FALSE(routing.add_address({Ipv4Address{0x0b000001}, 24}));
  EXPECT_TRUE(routing.remove_address(Ipv4Address{0x0a000001}));
  EXPECT_FALSE(routing.add_address({Ipv4Address{0x0a000002}, 24})) << "is there already";
  for (uint32_t i = 0; i < routes_max; i++)
    ASSERT_TRUE(routing.add_route({{Ipv4Address{i << 8}, 24}, Ipv4Address{0x0a000099}}));
  EXPECT_FALSE(routing.add_route({{Ipv4Address{0xc0000000}, 24}, Ipv4Address{0x0a000099}}));
}

TEST(Routing, BroadcastAddressesOfEachNetwork) {
  Routing routing;
  ASSERT_TRUE(routing.add_address({at("198.18.0.2"), 24}));
  ASSERT_TRUE(routing.add_address({at("10.0.0.2"), 31}));
  EXPECT_TRUE(routing.is_subnet_broadcast(at("198.18.0.255").v4()));
  EXPECT_TRUE(routing.is_subnet_broadcast(at("198.18.0.0").v4()));
  EXPECT_FALSE(routing.is_subnet_broadcast(at("198.18.0.7").v4()));
  EXPECT_FALSE(routing.is_subnet_broadcast(at("10.0.0.3").v4())) << "RFC 3021";
}

}  // namespace
}  // namespace talaria::net
