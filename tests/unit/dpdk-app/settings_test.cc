#include "dpdk-app/settings.h"

#include <gtest/gtest.h>

namespace talaria::app {
namespace {

Settings valid() {
  Settings settings;
  settings.ports[0].vdev = "net_tap0,iface=t0";
  settings.ports[0].addresses = {{net::Ipv4Address{0xc6120002}, 24}};  // 198.18.0.2
  return settings;
}

std::string refused_setting(const Settings& settings) {
  auto refusal = find_contradiction(settings);
  return refusal ? refusal->setting : "";
}

TEST(Settings, CoreListKeepsItsOrder) {
  EXPECT_EQ(parse_core_list("4"), (std::vector<unsigned>{4}));
  EXPECT_EQ(parse_core_list("7,2-4,0"), (std::vector<unsigned>{7, 2, 3, 4, 0}));
}

TEST(Settings, CoreListRefusesWhatIsNone) {
  for (const char* text :
       {"", ",", "1,", "a", "1-", "-1", "3-2", "1,1", "0-3,2", "4096", "1 2", "99999999999999999999"})
    EXPECT_FALSE(parse_core_list(text)) << text;
}

TEST(Settings, AddressNeedsItsPrefix) {
  auto address = parse_address_with_prefix("198.18.0.2/24");
  ASSERT_TRUE(address);
  EXPECT_EQ(*address, (net::IpPrefix{net::Ipv4Address{0xc6120002}, 24}));
  for (const char* text : {"198.18.0.2", "198.18.0.2/", "198.18.0.2/33", "198.18.0.2/0", "198.18.0.2/-1", "198.18/24",
                           "198.18.0.0/24", "198.18.0.255/24", "224.0.0.1/24", "127.0.0.1/8", "0.0.0.0/8", "x/24"})
    EXPECT_FALSE(parse_address_with_prefix(text)) << text;
  EXPECT_TRUE(parse_address_with_prefix("198.18.0.0/31")) << "RFC 3021: both addresses are hosts";
  EXPECT_TRUE(parse_address_with_prefix("198.18.0.255/32"));
}

TEST(Settings, AddressesOfBothFamilies) {
  auto address = parse_address_with_prefix("2001:db8::2/64");
  ASSERT_TRUE(address);
  EXPECT_EQ(net::to_text(*address), "2001:db8::2/64");
  for (const char* text : {"2001:db8::2", "2001:db8::2/129", "2001:db8::2/0", "fe80::1/64", "ff02::1/16", "::1/128",
                           "::/64", "2001:db8::g/64"})
    EXPECT_FALSE(parse_address_with_prefix(text)) << text;
  Settings settings = valid();
  settings.ports[0].addresses.push_back(*address);
  settings.ports[0].gateways = {net::Ipv4Address{0xc6120001}, *parse_address("fe80::1")};
  EXPECT_EQ(refused_setting(settings), "") << "its router's link-local address";
  settings.ports[0].gateways[1] = *parse_address("2001:db9::1");
  EXPECT_EQ(refused_setting(settings), "gateway");
  settings.ports[0].gateways = {*parse_address("fe80::1"), *parse_address("fe80::2")};
  EXPECT_EQ(refused_setting(settings), "gateway") << "two of one family";
  settings.ports[0].gateways = {};
  settings.ports[0].mtu = 1279;
  EXPECT_EQ(refused_setting(settings), "mtu");
}

TEST(Settings, ARouteIsANetworkAndItsRouter) {
  auto route = parse_route("10.0.0.0/8,198.18.0.1");
  ASSERT_TRUE(route);
  EXPECT_EQ(*route, (net::Route{{net::Ipv4Address{0x0a000000}, 8}, net::Ipv4Address{0xc6120001}}));
  for (const char* text : {"", "10.0.0.0/8", "10.0.0.0,198.18.0.1", "10.0.0.1/8,198.18.0.1", "10.0.0.0/33,198.18.0.1",
                           "10.0.0.0/8,", "10.0.0.0/8,x", "198.18.0.1,10.0.0.0/8", "2001:db8::/32,198.18.0.1",
                           "2001:db8::1/32,fe80::1", "2001:db8::/129,fe80::1"})
    EXPECT_FALSE(parse_route(text)) << text;
}

TEST(Settings, PciAddressHasAShortForm) {
  EXPECT_EQ(parse_pci_address("01:00.0"), "0000:01:00.0");
  EXPECT_EQ(parse_pci_address("0000:af:1f.7"), "0000:af:1f.7");
  for (const char* text : {"", "1:0.0", "0000:01:00", "0000:01:00.", "g000:01:00.0", "eth0", "0000:01:00.0,x=1"})
    EXPECT_FALSE(parse_pci_address(text)) << text;
}

TEST(Settings, VdevNamesANetworkDriver) {
  EXPECT_EQ(parse_vdev("net_af_xdp0,iface=eth1"), "net_af_xdp0,iface=eth1");
  EXPECT_EQ(vdev_name("net_af_xdp0,iface=eth1"), "net_af_xdp0");
  EXPECT_TRUE(parse_vdev("virtio_user0,path=/dev/vhost-net"));
  for (const char* text : {"", "net_tap", "crypto_null0", "net_tap0 x", "NET_TAP0"})
    EXPECT_FALSE(parse_vdev(text)) << text;
}

TEST(Settings, AnInterfacesNameIsWhatLinuxTakes) {
  EXPECT_EQ(parse_interface_name("talaria0"), "talaria0");
  EXPECT_EQ(parse_interface_name("a-b_c.d@1234567").value_or(""), "a-b_c.d@1234567");
  for (const char* text : {"", ".", "..", "a/b", "a b", "a:1", "tap%d", "sixteen_letters_"})
    EXPECT_FALSE(parse_interface_name(text)) << text;
}

TEST(Settings, EalArgumentsAreSplitAsAShellWould) {
  EXPECT_EQ(parse_eal_arguments("--log-level 'a b'  \"c d\"e ''"),
            (std::vector<std::string>{"--log-level", "a b", "c de", ""}));
  EXPECT_EQ(parse_eal_arguments("  "), std::vector<std::string>{});
  EXPECT_FALSE(parse_eal_arguments("'open"));
}

TEST(Settings, EalArgumentsThatAreOursAreRefused) {
  for (const char* text : {"-l 1", "-l1", "--lcores=1", "--no-huge", "--in-memory", "--vdev=net_null0", "-a 0:1",
                           "--file-prefix x", "-m 64", "--proc-type=secondary"})
    EXPECT_FALSE(parse_eal_arguments(text)) << text;
  EXPECT_TRUE(parse_eal_arguments("--iova-mode=va --legacy-mem")) << "not ours";
}

// An address is of one port, and so is a name.
TEST(Settings, PortsAreToldApart) {
  Settings settings = valid();
  PortSettings second;
  second.tap = "t1";
  second.addresses = {{net::Ipv4Address{0xc6120102}, 24}};
  settings.ports.push_back(second);
  EXPECT_EQ(refused_setting(settings), "");
  settings.ports[1].addresses = {{net::Ipv4Address{0xc6120003}, 24}};
  EXPECT_EQ(refused_setting(settings), "") << "one network on two ports";
  settings.ports[1].addresses = {{net::Ipv4Address{0xc6120002}, 16}};
  EXPECT_EQ(refused_setting(settings), "address") << "one address on two ports";
  EXPECT_EQ(find_contradiction(settings)->reason,
            "port t1: 198.18.0.2 is the address of port net_tap0: an address is of one port");
  settings.ports[1] = second;
  settings.ports[1].gateways = {net::Ipv4Address{0xc6120001}};
  EXPECT_EQ(refused_setting(settings), "gateway") << "of the other port's network";
  settings.ports[1] = second;
  settings.ports.push_back(second);
  EXPECT_EQ(refused_setting(settings), "tap") << "the same port twice";
  settings.ports.resize(1);
  for (size_t more = 1; more < ports_max; more++) {
    settings.ports.emplace_back().tap = "more" + std::to_string(more);
    EXPECT_EQ(refused_setting(settings), "");
  }
  settings.ports.emplace_back().tap = "onemore";
  EXPECT_EQ(refused_setting(settings), "tap") << "too many";
}

TEST(Settings, ContradictionsAreFound) {
  EXPECT_EQ(refused_setting(valid()), "");

  Settings settings = valid();
  settings.ports[0].vdev.clear();
  EXPECT_EQ(refused_setting(settings), "vdev");

  settings = valid();
  settings.ports[0].vdev.clear();
  settings.ports[0].pci_port = "0000:01:00.0";
  EXPECT_EQ(refused_setting(settings), "");
  settings.ports[0].pci_port.clear();
  settings.ports[0].tap = "t0";
  EXPECT_EQ(refused_setting(settings), "");

  settings = valid();
  settings.ports[0].addresses = {};
  EXPECT_EQ(refused_setting(settings), "") << "DHCP and routers";
  settings.ports[0].gateways = {net::Ipv4Address{0xc6120001}};
  EXPECT_EQ(refused_setting(settings), "gateway");
  settings.ports[0].gateways = {};
  settings.ports[0].addresses = {valid().ports[0].addresses[0], valid().ports[0].addresses[0]};
  EXPECT_EQ(refused_setting(settings), "address") << "twice";

  settings = valid();
  settings.ports[0].addresses.push_back({net::Ipv4Address{0xc6130002}, 24});
  settings.ports[0].routes = {{{net::Ipv4Address{0x0a000000}, 8}, net::Ipv4Address{0xc6130001}}};
  EXPECT_EQ(refused_setting(settings), "");
  settings.ports[0].routes.push_back({{net::Ipv4Address{0x0a000000}, 8}, net::Ipv4Address{0xc6120001}});
  EXPECT_EQ(refused_setting(settings), "route") << "two ways to one network";
  settings.ports[0].routes = {{{net::Ipv4Address{0x0a000000}, 8}, net::Ipv4Address{0xc6140001}}};
  EXPECT_EQ(refused_setting(settings), "route") << "its router is no neighbour";

  settings = valid();
  settings.ports[0].gateways = {net::Ipv4Address{0xc6120101}};
  EXPECT_EQ(refused_setting(settings), "gateway") << "in another network";
  settings.ports[0].gateways = {settings.ports[0].addresses[0].address};
  EXPECT_EQ(refused_setting(settings), "gateway") << "the broker itself";
  settings.ports[0].gateways = {net::Ipv4Address{0xc6120001}};
  EXPECT_EQ(refused_setting(settings), "");

  settings = valid();
  settings.cores = {1, 2};
  EXPECT_EQ(refused_setting(settings), "cores") << "more cores than workers";
  settings.workers = 3;
  EXPECT_EQ(refused_setting(settings), "") << "fewer: they share";

  settings = valid();
  settings.file_prefix = "a/b";
  EXPECT_EQ(refused_setting(settings), "file-prefix");

  settings = valid();
  settings.control_socket = std::string(108, 'x');
  EXPECT_EQ(refused_setting(settings), "control-socket");
}

TEST(Settings, AProfileIsNotContradicted) {
  Settings settings = valid();
  EXPECT_EQ(idle_mode(settings), IdleMode::automatic);
  settings.idle = IdleMode::wait;
  EXPECT_EQ(refused_setting(settings), "") << "also without a profile";
  EXPECT_EQ(idle_mode(settings), IdleMode::wait);

  settings.profile = Profile::realtime;
  EXPECT_EQ(refused_setting(settings), "idle");
  settings.idle = IdleMode::adaptive;
  EXPECT_EQ(refused_setting(settings), "idle");
  settings.idle = IdleMode::spin;
  EXPECT_EQ(refused_setting(settings), "") << "said twice";
  settings.idle = IdleMode::automatic;
  EXPECT_EQ(refused_setting(settings), "");
  EXPECT_EQ(idle_mode(settings), IdleMode::spin);

  settings.profile = Profile::green;
  EXPECT_EQ(refused_setting(settings), "");
  EXPECT_EQ(idle_mode(settings), IdleMode::wait);
  for (IdleMode mode : {IdleMode::spin, IdleMode::adaptive}) {
    settings.idle = mode;
    EXPECT_EQ(refused_setting(settings), "idle");
  }
  settings.idle = IdleMode::wait;
  EXPECT_EQ(refused_setting(settings), "");

  for (Profile profile : {Profile::standard, Profile::green}) {
    settings = valid();
    settings.profile = profile;
    settings.fifo = FifoMode::never;
    EXPECT_EQ(refused_setting(settings), "fifo") << "means nothing there";
  }
  settings.profile = Profile::realtime;
  EXPECT_EQ(refused_setting(settings), "");
}

TEST(Settings, SchedFifoIsForIsolatedCoresOfTheirOwn) {
  const CorePlan plan{.control = 0, .workers = {1, 2, 3, 3}};
  const std::vector<unsigned> isolated{2, 3};
  Settings settings = valid();
  settings.workers = 4;
  const std::vector<bool> none(4, false);
  EXPECT_EQ(plan_fifo(settings, plan, isolated), none) << "standard";
  settings.profile = Profile::realtime;
  EXPECT_EQ(plan_fifo(settings, plan, isolated), (std::vector<bool>{false, true, false, false}));
  settings.fifo = FifoMode::never;
  EXPECT_EQ(plan_fifo(settings, plan, isolated), none);
  settings.fifo = FifoMode::always;
  auto fifo = plan_fifo(settings, plan, isolated);
  ASSERT_FALSE(fifo) << "workers 2 and 3 would starve one another";
  EXPECT_EQ(fifo.error().setting, "fifo");
  EXPECT_NE(fifo.error().reason.find("worker 2 shares core 3"), std::string::npos);
  EXPECT_EQ(plan_fifo(settings, {.control = 0, .workers = {1, 2}}, isolated), (std::vector<bool>{true, true}));
  EXPECT_FALSE(plan_fifo(settings, {.control = 1, .workers = {1}}, isolated)) << "the control thread";
}

TEST(Settings, WorkersNeedMemoryForWhatIsUnderWay) {
  Settings settings = valid();
  settings.memory_mib = memory_mib_min;
  EXPECT_EQ(refused_setting(settings), "");
  settings.workers = 64;
  EXPECT_EQ(refused_setting(settings), "memory-mib");
  settings.memory_mib = 512;
  EXPECT_EQ(refused_setting(settings), "");
}

TEST(Settings, TcpMemoryAndConnectionsHaveBounds) {
  Settings settings = valid();
  settings.send_memory_mib = 0;
  EXPECT_EQ(refused_setting(settings), "send-memory-mib");
  settings = valid();
  settings.receive_memory_mib = tcp_memory_mib_max + 1;
  EXPECT_EQ(refused_setting(settings), "receive-memory-mib");
  settings = valid();
  settings.max_connections = 0;
  EXPECT_EQ(refused_setting(settings), "max-connections");
  settings.max_connections = 1;
  settings.max_connections_per_source = connections_max + 1;
  EXPECT_EQ(refused_setting(settings), "max-connections-per-source");
  settings.max_connections_per_source = 0;
  settings.max_connections = connections_max;
  EXPECT_EQ(refused_setting(settings), "");
}

// ---- cores ----------------------------------------------------------------------------------------------------------

TEST(CorePlan, WorkersKeepAwayFromTheControlThread) {
  Settings settings = valid();
  settings.workers = 3;
  auto plan = plan_cores(settings, {.usable = {0, 1, 2, 3}, .isolated = {}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->control, 0u);
  EXPECT_EQ(plan->workers, (std::vector<unsigned>{1, 2, 3}));
  EXPECT_TRUE(plan->alone(0));
}

TEST(CorePlan, IsolatedCoresAreTheWorkers) {
  Settings settings = valid();
  settings.workers = 2;
  auto plan = plan_cores(settings, {.usable = {0, 1, 2, 3}, .isolated = {0, 3}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->control, 1u);
  EXPECT_EQ(plan->workers, (std::vector<unsigned>{0, 3}));
}

TEST(CorePlan, FewCoresAreShared) {
  Settings settings = valid();
  settings.workers = 3;
  auto plan = plan_cores(settings, {.usable = {0, 1}, .isolated = {}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->workers, (std::vector<unsigned>{1, 0, 1}));
  EXPECT_FALSE(plan->alone(0)) << "worker 2 is there as well";
  EXPECT_FALSE(plan->alone(1)) << "the control thread is there as well";

  settings.workers = 1;
  plan = plan_cores(settings, {.usable = {5}, .isolated = {}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->control, 5u);
  EXPECT_EQ(plan->workers, (std::vector<unsigned>{5}));
}

TEST(CorePlan, WhatWasAskedForIsKept) {
  Settings settings = valid();
  settings.workers = 2;
  settings.cores = {2, 0};
  auto plan = plan_cores(settings, {.usable = {0, 1, 2, 3}, .isolated = {}});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->control, 1u) << "the first without a worker";
  EXPECT_EQ(plan->workers, (std::vector<unsigned>{2, 0}));
  settings.control_core = 2;
  EXPECT_EQ(plan_cores(settings, {.usable = {0, 1, 2, 3}, .isolated = {}})->control, 2u);
}

TEST(CorePlan, CoresThatAreNotThereAreRefused) {
  Settings settings = valid();
  settings.cores = {9};
  auto plan = plan_cores(settings, {.usable = {0, 1}, .isolated = {}});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().setting, "cores");
  settings.cores.clear();
  settings.control_core = 7;
  plan = plan_cores(settings, {.usable = {0, 1}, .isolated = {}});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().setting, "control-core");
}

}  // namespace
}  // namespace talaria::app
