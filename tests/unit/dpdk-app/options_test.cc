#include "dpdk-app/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace talaria::app {
namespace {

class Options : public ::testing::Test {
 protected:
  ~Options() override { std::filesystem::remove(file_); }

  void write_file(const std::string& text) { std::ofstream(file_) << text; }
  std::expected<Settings, Ending> read(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "talariad");
    return read_options(static_cast<int>(arguments.size()), arguments.data(), file_);
  }
  // What is said when it is refused.
  std::string refusal(std::vector<const char*> arguments) {
    auto settings = read(std::move(arguments));
    if (settings) return "";
    EXPECT_EQ(settings.error().status, 2);
    return settings.error().text;
  }
  bool refused(std::vector<const char*> arguments, const std::string& with) {
    const std::string text = refusal(std::move(arguments));
    EXPECT_NE(text.find(with), std::string::npos) << "said: " << text;
    return !text.empty();
  }

  const std::string file_ = std::filesystem::temp_directory_path() / ("talaria-options-" + std::to_string(getpid()));
  const std::string minimal_ = "vdev = net_tap0,iface=t0\naddress = 198.18.0.2/24\n";
};

TEST_F(Options, CommandLineAlone) {
  auto settings = read({"--vdev", "net_tap0,iface=t0", "--address", "198.18.0.2/24", "--no-huge", "--workers", "2",
                        "--cores", "1", "--vlan", "7", "--demo-account", "--idle", "spin", "--memory-mib=64"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->ports[0].vdev, "net_tap0,iface=t0");
  EXPECT_EQ(net::to_text(settings->ports[0].addresses.at(0)), "198.18.0.2/24");
  EXPECT_EQ(settings->workers, 2);
  EXPECT_EQ(settings->cores, std::vector<unsigned>{1});
  EXPECT_EQ(settings->ports[0].vlan, 7);
  EXPECT_EQ(settings->idle, IdleMode::spin);
  EXPECT_EQ(settings->memory_mib, 64u);
  EXPECT_FALSE(settings->huge_pages);
  EXPECT_TRUE(settings->demo_account);
  EXPECT_EQ(settings->amqp_port, 5672);
}

TEST_F(Options, FileAlone) {
  write_file("# the lab\n\n" + minimal_ + "  cores=2-3\nno-huge\ndemo-account = false\n");
  auto settings = read({});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->ports[0].vdev, "net_tap0,iface=t0");
  EXPECT_EQ(settings->workers, 2) << "as many as cores";
  EXPECT_FALSE(settings->huge_pages);
  EXPECT_FALSE(settings->demo_account);
}

TEST_F(Options, KeepaliveIsGivenInSeconds) {
  write_file(minimal_ + "tcp-keepalive = 30\n");
  EXPECT_EQ(read({})->tcp_keepalive, 30u);
  EXPECT_EQ(read({"--tcp-keepalive", "0"})->tcp_keepalive, 0u);
  EXPECT_FALSE(read({"--tcp-keepalive", "86401"}));
}

TEST_F(Options, QueuesMoveUnlessTheyAreToldNotTo) {
  write_file(minimal_);
  EXPECT_EQ(read({})->congestion_control, tcp::CongestionControl::cubic);
  EXPECT_EQ(read({"--congestion-control", "newreno"})->congestion_control, tcp::CongestionControl::newreno);
  EXPECT_FALSE(read({"--congestion-control", "bbr"}));
  EXPECT_TRUE(read({})->move_queues);
  write_file(minimal_ + "move-queues = no\n");
  EXPECT_FALSE(read({})->move_queues);
  EXPECT_TRUE(read({"--move-queues", "yes"})->move_queues);
  EXPECT_FALSE(read({"--move-queues", "true"})) << "yes or no";
}

TEST_F(Options, ASwitchIsOnOrOff) {
  for (const char* name : {"no-huge", "demo-account"}) {
    for (const char* value : {"maybe", "2", "", "True", "true,false"}) {
      write_file(minimal_ + name + " = " + value + "\n");
      EXPECT_TRUE(refused({}, file_ + " line 3: ")) << name << " = " << value;
      EXPECT_TRUE(refused({}, name)) << name << " = " << value;
    }
    write_file(minimal_);
    const std::string on_command_line = std::string("--") + name + "=maybe";
    EXPECT_TRUE(refused({on_command_line.c_str()}, std::string("--") + name + ": 'maybe' is none of true, false"));
  }
  write_file(minimal_ + "no-huge = false\ndemo-account = true\n");
  auto settings = read({});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_TRUE(settings->huge_pages);
  EXPECT_TRUE(settings->demo_account);
  settings = read({"--no-huge", "--demo-account=false"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_FALSE(settings->huge_pages);
  EXPECT_FALSE(settings->demo_account);
}

TEST_F(Options, EverySettingStandsOnce) {
  write_file(minimal_ + "workers = 2\nworkers = 2\n");
  EXPECT_TRUE(refused({}, file_ + " line 4: 'workers' stands already in line 3"));
  write_file("mtu = 1400\n" + minimal_ + "mtu = 1400\n");
  EXPECT_TRUE(refused({}, file_ + " line 4: 'mtu' stands already in line 1"));
  write_file("");
  EXPECT_TRUE(refused({"--vdev", "net_tap0", "--workers", "1", "--workers", "2", "--address", "198.18.0.2/24"},
                      "--workers is given more than once"));
}

// What names a port begins it.
TEST_F(Options, SeveralPorts) {
  auto settings = read({"--mtu",         "1400",          "--tap",         "a",      "--address",
                        "198.18.0.2/24", "--vdev",        "net_ring0",     "--vlan", "7",
                        "--address",     "198.18.1.2/24", "--mtu",         "9000",   "--gateway",
                        "198.18.1.1",    "--address",     "198.18.2.2/24", "--port", "01:00.0"});
  ASSERT_TRUE(settings) << settings.error().text;
  ASSERT_EQ(settings->ports.size(), 3u);
  EXPECT_EQ(settings->ports[0].name(), "a");
  EXPECT_EQ(addresses_text(settings->ports[0]), "198.18.0.2/24");
  EXPECT_EQ(settings->ports[0].mtu, 1400) << "before the first is the first's";
  EXPECT_FALSE(settings->ports[0].vlan);
  EXPECT_EQ(settings->ports[1].name(), "net_ring0");
  EXPECT_EQ(addresses_text(settings->ports[1]), "198.18.1.2/24, 198.18.2.2/24");
  EXPECT_EQ(settings->ports[1].vlan, 7);
  EXPECT_EQ(settings->ports[1].mtu, 9000);
  EXPECT_EQ(settings->ports[1].gateways.size(), 1u);
  EXPECT_EQ(settings->ports[2].name(), "0000:01:00.0");
  EXPECT_TRUE(finds_addresses(settings->ports[2]));
  EXPECT_EQ(settings->ports[2].mtu, 1500);

  EXPECT_TRUE(refused({"--tap", "a", "--vlan", "7", "--tap", "b", "--vlan", "8", "--vlan", "9"},
                      "--vlan is given more than once"));
  EXPECT_TRUE(refused({"--tap", "a", "--tap", "a"}, "--tap: the port a is given twice"));
  EXPECT_TRUE(refused({"--tap", "a", "--address", "198.18.0.2/24", "--tap", "b", "--address", "198.18.0.2/24"},
                      "--address: port b: 198.18.0.2 is the address of port a"));
  EXPECT_TRUE(refused({"--tap", "a", "--tap", "b/c"}, "--tap: 'b/c' is no interface's name"));
}

TEST_F(Options, SeveralPortsOfAFile) {
  const std::string two = "tap = a\naddress = 198.18.0.2/24\nmtu = 1400\n\ntap = b\naddress = 198.18.1.2/24\n";
  write_file(two + "mtu = 9000\nworkers = 2\n");
  auto settings = read({"--workers", "3"});
  ASSERT_TRUE(settings) << settings.error().text;
  ASSERT_EQ(settings->ports.size(), 2u);
  EXPECT_EQ(settings->workers, 3);
  EXPECT_EQ(settings->ports[0].mtu, 1400);
  EXPECT_EQ(settings->ports[1].name(), "b");
  EXPECT_EQ(addresses_text(settings->ports[1]), "198.18.1.2/24");
  EXPECT_EQ(settings->ports[1].mtu, 9000);
  EXPECT_TRUE(refused({"--mtu", "1500"}, "--mtu: the configuration file names several ports"));
  EXPECT_TRUE(refused({"--tap", "c"}, "--tap: the configuration file names several ports"));
  write_file(two + "mtu = 9000\nmtu = 9000\n");
  EXPECT_TRUE(refused({}, file_ + " line 8: 'mtu' stands already in line 7"));

  // A command line that names ports names all of them; what the file says of its only port is the first's.
  write_file(minimal_);
  settings = read({"--tap", "c", "--tap", "d", "--mtu", "1300"});
  ASSERT_TRUE(settings) << settings.error().text;
  ASSERT_EQ(settings->ports.size(), 2u);
  EXPECT_EQ(settings->ports[0].name(), "c");
  EXPECT_EQ(addresses_text(settings->ports[0]), "198.18.0.2/24");
  EXPECT_EQ(settings->ports[1].mtu, 1300);
}

TEST_F(Options, SeveralAddressesAndRoutes) {
  write_file(minimal_ + "address = 10.1.0.2/16\nroute = 10.2.0.0/16,10.1.0.1\nroute = 10.3.0.0/16,198.18.0.9\n");
  auto settings = read({"--gateway", "198.18.0.1"});
  ASSERT_TRUE(settings) << settings.error().text;
  ASSERT_EQ(settings->ports[0].addresses.size(), 2u);
  EXPECT_EQ(net::to_text(settings->ports[0].addresses[1]), "10.1.0.2/16");
  ASSERT_EQ(all_routes(settings->ports[0]).size(), 3u);
  EXPECT_EQ(net::to_text(settings->ports[0].routes[1].gateway), "198.18.0.9");
  settings = read({"--address", "10.9.0.2/16", "--route", "10.2.0.0/16,10.9.0.1"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->ports[0].routes.size(), 1u) << "the command line's, not the file's";
  settings = read({"--address", "198.18.0.5/24", "--address", "10.1.0.8/16"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->ports[0].addresses.size(), 2u) << "the command line's, not the file's";
  EXPECT_TRUE(refused({"--address", "198.18.0.5/24", "--address", "10.1/16"}, "--address: '10.1' is no IP address"));
  EXPECT_TRUE(refused({"--route", "10.2.0.0/16"}, "--route: a route is a network and its router"));
}

TEST_F(Options, SizesOfAWorker) {
  write_file(minimal_ +
             "max-connections = 20000\nsend-memory-mib = 64\nmax-connections-per-source = "
             "10\nmax-handshakes-per-source = 0\n");
  auto settings = read({"--receive-memory-mib", "32"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->max_connections, 20000u);
  EXPECT_EQ(settings->max_connections_per_source, 10u);
  EXPECT_EQ(settings->max_handshakes_per_source, 0u);
  EXPECT_EQ(settings->send_memory_mib, 64u);
  EXPECT_EQ(settings->receive_memory_mib, 32u);
}

TEST_F(Options, CommandLineWins) {
  write_file(minimal_ + "mtu = 1400\nworkers = 4\n");
  auto settings = read({"--mtu", "1300", "--vdev", "net_null0"});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->ports[0].mtu, 1300);
  EXPECT_EQ(settings->workers, 4);
  EXPECT_EQ(settings->ports[0].vdev, "net_null0");
}

TEST_F(Options, RefusalNamesTheLine) {
  write_file(minimal_ + "speed = 11\n");
  EXPECT_TRUE(refused({}, file_ + " line 3: there is no setting 'speed'"));
  write_file(minimal_ + "workers = 0\n");
  EXPECT_TRUE(refused({}, file_ + " line 3: workers: '0' is no number from 1 to 64"));
  write_file(minimal_ + "max-connections = many\n");
  EXPECT_TRUE(refused({}, "line 3: max-connections: 'many' is no number"));
  write_file(minimal_ + "mtu = 1400\n\nmtu = 1500\n");
  EXPECT_TRUE(refused({}, "line 5: 'mtu' stands already in line 3"));
  write_file(minimal_ + "gateway = 198.18.1.1\n");
  EXPECT_TRUE(refused({}, "line 3: gateway: 198.18.1.1 is outside"));
  write_file(minimal_ + "mtu\n");
  EXPECT_TRUE(refused({}, "line 3: the setting 'mtu' needs a value"));
  write_file(minimal_ + "control-core = -1\n");
  EXPECT_TRUE(refused({}, "line 3: control-core: '-1' is no number"));
  write_file(minimal_ + "config = elsewhere\n");
  EXPECT_TRUE(refused({}, "line 3: there is no setting 'config'"));
}

TEST_F(Options, RefusalNamesTheOption) {
  EXPECT_TRUE(refused({}, "--vdev: there is no port"));
  EXPECT_TRUE(refused({"--address", "198.18.0.2"}, "--address: the length of the prefix is missing"));
  EXPECT_TRUE(refused({"--mtu", "1e3"}, "--mtu: '1e3' is no number"));
  EXPECT_TRUE(refused({"--max-connections", "0"}, "--max-connections: '0' is no number from 1 to 1048576"));
  EXPECT_TRUE(refused({"--send-memory-mib", "70000"}, "--send-memory-mib: '70000' is no number from 1 to 65536"));
  EXPECT_TRUE(refused({"--receive-memory-mib", "1.5"}, "--receive-memory-mib: '1.5' is no number"));
  EXPECT_TRUE(refused({"--workers", "70000"}, "--workers: '70000' is no number from 1 to 64"));
  EXPECT_TRUE(refused({"--idle", "nap"}, "--idle: 'nap' is none of spin, adaptive, wait"));
  EXPECT_TRUE(refused({"--log-level", "loud"}, "--log-level: 'loud' is none of"));
  EXPECT_TRUE(refused({"--eal", "-l 1"}, "--eal: -l follows from --cores"));
  EXPECT_TRUE(refused({"--speed"}, "--speed"));
  EXPECT_TRUE(refused({"stray"}, "stray"));
  EXPECT_TRUE(refused({"--mtu", "1400", "--mtu", "1500"}, "--mtu is given more than once"));
  write_file(minimal_ + "workers = 9\n");
  EXPECT_TRUE(refused({"--workers", "0"}, "--workers: '0'")) << "not the file's line";
}

TEST_F(Options, OnlyTheDefaultFileMayBeMissing) {
  EXPECT_TRUE(read({"--vdev", "net_tap0", "--address", "198.18.0.2/24"}));
  EXPECT_TRUE(refused({"--config", "/nonexistent/talaria.conf"}, "/nonexistent/talaria.conf"));
}

TEST_F(Options, HelpAndVersionEndWell) {
  auto help = read({"--help"});
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().status, 0);
  for (const char* option : {"--send-memory-mib",
                             "--receive-memory-mib",
                             "--max-connections",
                             "--max-connections-per-source",
                             "--max-handshakes-per-source",
                             "--vdev",
                             "--port",
                             "--address",
                             "--gateway",
                             "--route",
                             "--vlan",
                             "--mtu",
                             "--workers",
                             "--cores",
                             "--control-core",
                             "--idle",
                             "--memory-mib",
                             "--no-huge",
                             "--file-prefix",
                             "--eal",
                             "--amqp-port",
                             "--data-dir",
                             "--control-socket",
                             "--congestion-control",
                             "--move-queues",
                             "--demo-account",
                             "--log-level",
                             "--log-file",
                             "--config",
                             "--version"})
    EXPECT_NE(help.error().text.find(option), std::string::npos) << option;
  auto version = read({"--version"});
  ASSERT_FALSE(version);
  EXPECT_EQ(version.error().status, 0);
}

TEST_F(Options, AProfileThatIsContradictedIsRefusedWithItsPlace) {
  write_file(minimal_ + "profile = green\nidle = spin\n");
  EXPECT_TRUE(refused({}, file_ + " line 4: idle: with --profile green workers wait"));
  EXPECT_TRUE(refused({"--idle", "adaptive"}, "--idle: with --profile green workers wait"));
  write_file(minimal_ + "profile = realtime\nfifo = always\n");
  auto settings = read({});
  ASSERT_TRUE(settings) << settings.error().text;
  EXPECT_EQ(settings->profile, Profile::realtime);
  EXPECT_EQ(settings->fifo, FifoMode::always);
  EXPECT_TRUE(refused({"--profile", "green"}, file_ + " line 4: fifo: it belongs to --profile realtime"));
  EXPECT_TRUE(refused({"--profile", "fast"}, "--profile: 'fast' is none of standard, realtime, green"));
  EXPECT_TRUE(refused({"--idle", "wait"}, "--idle: with --profile realtime workers spin"));
  EXPECT_TRUE(refused({"--fifo", "sometimes"}, "--fifo: 'sometimes' is none of isolated, always, never"));
}

}  // namespace
}  // namespace talaria::app
