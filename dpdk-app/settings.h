// What talariad can be told, as checked values, and the rules by which a setting is refused. Pure: no file, no EAL, no
// look at the host (what the host has is passed in), so that every rule can be tested. `options.h` fills these from the
// command line and the configuration file.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/net/ip_address.h"
#include "core/tcp/config.h"
#include "core/tcp/types.h"

namespace talaria::app {

enum class IdleMode : uint8_t {
  automatic,  // spin on a core of its own, adaptive otherwise
  spin,
  adaptive,
  wait,  // sleeps until a packet, a colleague or a deadline
};

// A named set of what follows, for a purpose.
enum class Profile : uint8_t {
  standard,  // each setting as it stands
  realtime,  // spins; memory locked and touched; SCHED_FIFO; the processors' sleep states kept out; looks the host over
  green,     // waits
};

// Which workers get the real-time scheduling class of the kernel. Only with the profile realtime.
enum class FifoMode : uint8_t {
  isolated,  // on an isolated core of their own
  always,
  never,
};

// A network port, and who the broker is on it.
struct PortSettings {
  std::string pci_port;  // "0000:01:00.0"; either this one
  std::string vdev;      // "net_af_xdp0,iface=eth1", as EAL's --vdev has it; or this one
  std::string tap;       // "talaria0", a tap interface of the kernel; or this one
  std::vector<net::IpPrefix> addresses;
  std::vector<net::IpAddress> gateways;  // one of a family
  std::vector<net::Route> routes;
  std::optional<uint16_t> vlan;
  uint16_t mtu = 1500;

  // As its port is called wherever ports are listed: the PCI address, "net_af_xdp0", "talaria0".
  std::string name() const;
};

struct Settings {
  std::vector<PortSettings> ports = std::vector<PortSettings>(1);  // all of them on every worker

  // ---- cores and memory
  uint16_t workers = 1;
  std::vector<unsigned> cores;  // of the workers, in order; empty: chosen by plan_cores
  std::optional<unsigned> control_core;
  Profile profile = Profile::standard;
  IdleMode idle = IdleMode::automatic;
  std::optional<FifoMode> fifo;  // not said: isolated with the profile realtime
  bool huge_pages = true;
  uint32_t memory_mib = 512;         // of each worker, as the next ones: for messages
  uint32_t send_memory_mib = 16;     // what was written to connections and is not yet acknowledged
  uint32_t receive_memory_mib = 16;  // what came in and was not yet read
  uint32_t max_connections = 1024;
  uint32_t max_connections_per_source = 0;  // of one remote address and worker, as the next one; 0: no limit
  uint32_t max_handshakes_per_source = 256;
  std::string file_prefix = "talaria";
  std::vector<std::string> eal_arguments;

  // ---- the broker
  uint16_t amqp_port = 5672;
  uint32_t tcp_keepalive = 120;  // seconds of a peer's silence before it is asked whether it is there; 0: never
  std::string data_directory = "/var/lib/talaria";
  std::string control_socket = "/run/talaria/control.sock";
  tcp::CongestionControl congestion_control = tcp::CongestionControl::cubic;
  bool move_queues = true;
  bool demo_account = false;
  std::string log_level = "info";
  std::string log_file;  // empty: standard error
};

inline constexpr std::string_view default_configuration_file = "/etc/talaria/talaria.conf";
inline constexpr unsigned processor_max = 4095;
inline constexpr size_t ports_max = 8;
static_assert(ports_max <= tcp::interfaces_max);
inline constexpr uint32_t memory_mib_min = 8;
inline constexpr uint32_t memory_mib_max = 1024 * 1024;
inline constexpr uint32_t tcp_memory_mib_min = 1;  // four connections' windows
inline constexpr uint32_t tcp_memory_mib_max = 64 * 1024;
inline constexpr uint32_t connections_max = 1024 * 1024;

// A setting that cannot be: which one (its long option name, without dashes), and why.
struct Refusal {
  std::string setting;
  std::string reason;
};
template <class T>
using Checked = std::expected<T, std::string>;  // the reason

// "198.18.0.2/24, 10.0.0.2/8", or where they come from.
std::string addresses_text(const PortSettings& port);

// "0,2-5": processors in the order given, each once.
Checked<std::vector<unsigned>> parse_core_list(std::string_view text);

Checked<net::IpAddress> parse_address(std::string_view text);
// "198.18.0.2/24", "2001:db8::2/64": a host's unicast address in its network, with the length of the network's prefix.
Checked<net::IpPrefix> parse_address_with_prefix(std::string_view text);
// "10.0.0.0/8,198.18.0.1": a network and the router that leads there.
Checked<net::Route> parse_route(std::string_view text);
// All routes of the settings, those of the gateways among them.
std::vector<net::Route> all_routes(const PortSettings& port);
bool speaks_ipv6(const PortSettings& port);
bool speaks_ipv6(const Settings& settings);  // on any port
// None was given: they come from a DHCP server and of what routers advertise.
bool finds_addresses(const PortSettings& port);

// "0000:01:00.0" or "01:00.0"; the answer is always the long form.
Checked<std::string> parse_pci_address(std::string_view text);

// "net_tap0,iface=talaria0": a driver's name that starts with net_ or virtio_user, with a number, and its arguments.
Checked<std::string> parse_vdev(std::string_view text);
// "net_tap0" of it.
std::string_view vdev_name(std::string_view vdev);

// "talaria0": what Linux takes for the name of an interface.
Checked<std::string> parse_interface_name(std::string_view text);

// Splits as a shell would, with single and double quotes; refuses EAL arguments that Talaria sets itself.
Checked<std::vector<std::string>> parse_eal_arguments(std::string_view text);

// What the profile makes of the idle mode.
IdleMode idle_mode(const Settings& settings);

// What contradicts what, in settings that are fine one by one.
std::optional<Refusal> find_contradiction(const Settings& settings);

// ---- cores ----------------------------------------------------------------------------------------------------------
// Which processors may be used and which of them are kept free of other work by the kernel.
struct Processors {
  std::vector<unsigned> usable;
  std::vector<unsigned> isolated;
};
struct CorePlan {
  unsigned control = 0;
  std::vector<unsigned> workers;  // one processor a worker; the same one may stand there several times

  // True if nobody else of this process runs on the core of this worker.
  bool alone(size_t worker) const;
};
// Chooses what the settings leave open: isolated processors for workers first, one that is not isolated for the
// control thread; with fewer processors than threads, threads share. Refuses processors that are not usable.
std::expected<CorePlan, Refusal> plan_cores(const Settings& settings, const Processors& processors);

// Which workers run under SCHED_FIFO. A thread of that class that never sleeps lets nothing else run on its core: one
// that shares it with another thread of the broker would never let that one start, and is refused.
std::expected<std::vector<bool>, Refusal> plan_fifo(const Settings& settings, const CorePlan& plan,
                                                    const std::vector<unsigned>& isolated);

}  // namespace talaria::app
