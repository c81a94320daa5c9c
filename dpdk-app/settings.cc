#include "dpdk-app/settings.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/broker/engine.h"
#include "core/net/ipv6.h"
#include "core/net/routing.h"

namespace talaria::app {
namespace {

template <class Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
  Number number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

bool contains(const std::vector<unsigned>& list, unsigned value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// EAL's arguments that follow from Talaria's own settings, and which setting that is.
struct OwnedArgument {
  std::string_view argument;
  std::string_view setting;
};
constexpr std::array owned_arguments = {
    OwnedArgument{"-l", "--cores"},
    OwnedArgument{"-c", "--cores"},
    OwnedArgument{"--lcores", "--cores"},
    OwnedArgument{"--main-lcore", "--control-core"},
    OwnedArgument{"--no-huge", "--no-huge"},
    OwnedArgument{"--in-memory", "--no-huge (without it, memory is always --in-memory)"},
    OwnedArgument{"-m", "--memory-mib"},
    OwnedArgument{"--file-prefix", "--file-prefix"},
    OwnedArgument{"--vdev", "--vdev"},
    OwnedArgument{"-a", "--port"},
    OwnedArgument{"--allow", "--port"},
    OwnedArgument{"-b", "--port"},
    OwnedArgument{"--block", "--port"},
    OwnedArgument{"--no-pci", "--port"},
    OwnedArgument{"--proc-type", "nothing: talariad is always the primary process"},
};

}  // namespace

Checked<std::vector<unsigned>> parse_core_list(std::string_view text) {
  std::vector<unsigned> cores;
  size_t at = 0;
  do {
    const size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, comma - at);
    at = comma + 1;
    const size_t dash = part.find('-');
    const auto first = parse_number<unsigned>(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_number<unsigned>(part.substr(dash + 1));
    if (!first || !last) return std::unexpected(quoted(part) + " is no processor number and no range like 2-5");
    if (*first > *last) return std::unexpected("the range " + quoted(part) + " runs backwards");
    if (*last > processor_max) return std::unexpected("there is no processor " + std::to_string(*last));
    for (unsigned core = *first; core <= *last; core++) {
      if (contains(cores, core)) return std::unexpected("processor " + std::to_string(core) + " is listed twice");
      cores.push_back(core);
    }
  } while (at <= text.size());
  return cores;
}

Checked<net::IpAddress> parse_address(std::string_view text) {
  auto address = net::parse_ip_address(text);
  if (!address) return std::unexpected(quoted(text) + " is no IP address");
  return *address;
}

Checked<net::IpPrefix> parse_address_with_prefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos)
    return std::unexpected("the length of the prefix is missing, as in 198.18.0.2/24");
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return std::unexpected(address.error());
  const auto length = parse_number<uint8_t>(text.substr(slash + 1));
  const uint8_t bits = net::address_bits(address->family());
  if (!length || *length < 1 || *length > bits)
    return std::unexpected("a prefix has 1 to " + std::to_string(bits) + " bits");
  if (!address->is_unicast() || (address->is_v4() && (address->v4().value >> 24) == 0))
    return std::unexpected(net::to_text(*address) + " cannot be a host's address");
  if (!address->is_v4()) {
    if (address->is_link_local()) return std::unexpected("the broker makes its link-local address itself");
    return net::IpPrefix{*address, *length};
  }
  const uint32_t host_part = address->v4().value & ~net::prefix_mask(*length);
  if (*length < 31 && host_part == 0)
    return std::unexpected(net::to_text(*address) + " is the network's own address, not a host's");
  if (*length < 31 && host_part == ~net::prefix_mask(*length))
    return std::unexpected(net::to_text(*address) + " is the network's broadcast address");
  return net::IpPrefix{*address, *length};
}

Checked<net::Route> parse_route(std::string_view text) {
  const size_t comma = text.find(','), slash = text.find('/');
  if (comma == std::string_view::npos || slash == std::string_view::npos || slash > comma)
    return std::unexpected("a route is a network and its router, as in 10.0.0.0/8,198.18.0.1");
  const auto network = net::parse_ip_address(text.substr(0, slash));
  const auto bits = parse_number<uint8_t>(text.substr(slash + 1, comma - slash - 1));
  if (!network || !bits || *bits > net::address_bits(network->family()))
    return std::unexpected(quoted(text.substr(0, comma)) + " is no network");
  const auto router = parse_address(text.substr(comma + 1));
  if (!router) return std::unexpected(router.error());
  if (router->is_v4() != network->is_v4()) return std::unexpected("a network and its router are of one family");
  const net::IpPrefix prefix{*network, *bits};
  if (net::first_of(prefix) != *network)
    return std::unexpected(quoted(text.substr(0, comma)) + " is a host, not a network");
  return net::Route{prefix, *router};
}

std::string PortSettings::name() const {
  if (!tap.empty()) return tap;
  return vdev.empty() ? pci_port : std::string(vdev_name(vdev));
}

bool finds_addresses(const PortSettings& port) { return port.addresses.empty(); }

bool speaks_ipv6(const PortSettings& port) {
  return finds_addresses(port) || std::any_of(port.addresses.begin(), port.addresses.end(),
                                              [](const net::IpPrefix& address) { return !address.address.is_v4(); });
}

bool speaks_ipv6(const Settings& settings) {
  return std::any_of(settings.ports.begin(), settings.ports.end(),
                     [](const PortSettings& port) { return speaks_ipv6(port); });
}

std::string addresses_text(const PortSettings& port) {
  if (finds_addresses(port)) return "as DHCP and routers say";
  std::string text;
  for (const net::IpPrefix& address : port.addresses) text += (text.empty() ? "" : ", ") + net::to_text(address);
  return text;
}

std::vector<net::Route> all_routes(const PortSettings& port) {
  std::vector<net::Route> routes = port.routes;
  for (const net::IpAddress& gateway : port.gateways) routes.push_back(net::default_route(gateway));
  return routes;
}

Checked<std::string> parse_pci_address(std::string_view text) {
  // domain 4 : bus 2 : device 2 . function 1, hexadecimal; the domain may be left out.
  const std::string address = (text.size() == 7 ? "0000:" : "") + std::string(text);
  constexpr std::string_view shape = "xxxx:xx:xx.x";
  bool fits = address.size() == shape.size();
  for (size_t i = 0; fits && i < shape.size(); i++)
    fits = shape[i] == 'x' ? std::isxdigit(static_cast<unsigned char>(address[i])) != 0 : address[i] == shape[i];
  if (!fits) return std::unexpected(quoted(text) + " is no PCI address like 0000:01:00.0");
  return address;
}

std::string_view vdev_name(std::string_view vdev) { return vdev.substr(0, vdev.find(',')); }

Checked<std::string> parse_vdev(std::string_view text) {
  const std::string_view name = vdev_name(text);
  if (!name.starts_with("net_") && !name.starts_with("virtio_user"))
    return std::unexpected(quoted(name) + " is no network driver: its name starts with net_ or is virtio_user");
  if (name.empty() || !std::isdigit(static_cast<unsigned char>(name.back())))
    return std::unexpected("a virtual device's name ends in a number, as in " + std::string(name) + "0");
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string_view::npos)
    return std::unexpected(quoted(name) + " is no driver's name");
  return std::string(text);
}

Checked<std::string> parse_interface_name(std::string_view text) {
  constexpr size_t most = 15;  // IFNAMSIZ with its zero
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) {
    return c == '/' || c == ':' || c == '%' || std::isgraph(static_cast<unsigned char>(c)) == 0;
  });
  if (text.empty() || text.size() > most || odd || text == "." || text == "..")
    return std::unexpected(quoted(text) + " is no interface's name: 1 to 15 letters and digits, as in talaria0");
  return std::string(text);
}

Checked<std::vector<std::string>> parse_eal_arguments(std::string_view text) {
  std::vector<std::string> arguments;
  std::string argument;
  bool inside = false;
  char quote = 0;
  for (char c : text) {
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        argument += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      inside = true;
    } else if (c == ' ' || c == '\t') {
      if (inside) arguments.push_back(std::move(argument));
      argument.clear();
      inside = false;
    } else {
      argument += c;
      inside = true;
    }
  }
  if (quote != 0) return std::unexpected(std::string("the quote ") + quote + " is never closed");
  if (inside) arguments.push_back(std::move(argument));

  for (const std::string& each : arguments) {
    const bool is_long = each.starts_with("--");
    const std::string name = each.substr(0, is_long ? each.find('=') : 2);
    for (const OwnedArgument& owned : owned_arguments)
      if (name == owned.argument) return std::unexpected(name + " follows from " + std::string(owned.setting));
  }
  return arguments;
}

IdleMode idle_mode(const Settings& settings) {
  switch (settings.profile) {
    case Profile::standard: return settings.idle;
    case Profile::realtime: return IdleMode::spin;
    case Profile::green: return IdleMode::wait;
  }
  return settings.idle;
}

namespace {

std::optional<Refusal> find_address_contradiction(const PortSettings& port) {
  if (finds_addresses(port)) {
    if (!port.gateways.empty()) return Refusal{"gateway", "without --address gateways are told by DHCP and by routers"};
    if (!port.routes.empty()) return Refusal{"route", "without --address routers are told by DHCP and by themselves"};
  }
  constexpr size_t most = net::addresses_max - 1;  // and the link-local one
  if (port.addresses.size() > most) return Refusal{"address", "there may be " + std::to_string(most)};
  const std::vector<net::Route> routes = all_routes(port);
  if (routes.size() > net::routes_max) return Refusal{"route", "there may be " + std::to_string(net::routes_max)};
  net::Routing routing;
  for (const net::IpPrefix& address : port.addresses)
    if (!routing.add_address(address)) return Refusal{"address", net::to_text(address.address) + " is given twice"};
  if (speaks_ipv6(port)) {
    if (port.mtu < net::ipv6_mtu_min) return Refusal{"mtu", "IPv6 needs 1280 at least (RFC 8200 5)"};
    routing.add_address({net::link_local_prefix, 64});  // where its routers are
  }
  for (const net::Route& route : routes) {
    const char* setting = route.destination.bits == 0 ? "gateway" : "route";
    if (routing.is_ours(route.gateway))
      return Refusal{setting, net::to_text(route.gateway) + " is the broker's own address"};
    if (!routing.on_link(route.gateway))
      return Refusal{setting, net::to_text(route.gateway) + " is outside the broker's own network " +
                                  net::to_text(port.addresses.front())};
    for (const net::Route& other : routing.routes())
      if (other.destination == route.destination)
        return Refusal{setting, "there are two ways to " + net::to_text(route.destination)};
    routing.add_route(route);
  }
  return {};
}

// An address is of one port: a connection is known by it (RFC 1122 3.3.4.2, the strong host model).
std::optional<Refusal> find_port_contradiction(const std::vector<PortSettings>& ports) {
  constexpr std::string_view no_port =
      "there is no port: --port names a PCI one, --vdev a virtual one, --tap an interface to make";
  if (ports.empty() || ports.front().name().empty()) return Refusal{"vdev", std::string(no_port)};
  if (ports.size() > ports_max) return Refusal{"tap", "there may be " + std::to_string(ports_max) + " ports"};
  for (size_t index = 0; index < ports.size(); index++) {
    const PortSettings& port = ports[index];
    const std::string of_port = ports.size() > 1 ? "port " + port.name() + ": " : "";
    const char* kind = !port.tap.empty() ? "tap" : port.vdev.empty() ? "port" : "vdev";
    if (auto refusal = find_address_contradiction(port)) {
      refusal->reason = of_port + refusal->reason;
      return refusal;
    }
    for (size_t before = 0; before < index; before++) {
      const PortSettings& other = ports[before];
      if (other.name() == port.name()) return Refusal{kind, "the port " + port.name() + " is given twice"};
      for (const net::IpPrefix& address : port.addresses)
        for (const net::IpPrefix& taken : other.addresses)
          if (address.address == taken.address)
            return Refusal{"address", of_port + net::to_text(address.address) + " is the address of port " +
                                          other.name() + ": an address is of one port"};
    }
  }
  return {};
}

}  // namespace

std::optional<Refusal> find_contradiction(const Settings& settings) {
  if (auto refusal = find_port_contradiction(settings.ports)) return refusal;

  if (settings.workers < 1 || settings.workers > broker::workers_max)
    return Refusal{"workers", "there may be 1 to " + std::to_string(broker::workers_max)};
  if (settings.cores.size() > settings.workers)
    return Refusal{"cores", std::to_string(settings.cores.size()) + " processors for " +
                                std::to_string(settings.workers) + " worker(s): raise --workers or list fewer"};
  if (settings.memory_mib < memory_mib_min || settings.memory_mib > memory_mib_max)
    return Refusal{"memory-mib", "a worker takes " + std::to_string(memory_mib_min) + " to " +
                                     std::to_string(memory_mib_max) + " MiB"};
  // The engine keeps an eighth at most for what the other workers have under way.
  const size_t kept = broker::Engine::reserve_bytes(settings.workers);
  if (const size_t least = ((8 * kept) >> 20) + 1; settings.memory_mib < least)
    return Refusal{"memory-mib", "with " + std::to_string(settings.workers) + " workers each needs " +
                                     std::to_string(least) + " MiB at least"};

  if (settings.idle != IdleMode::automatic && settings.idle != idle_mode(settings))
    return Refusal{"idle", settings.profile == Profile::realtime
                               ? "with --profile realtime workers spin, and never sleep"
                               : "with --profile green workers wait: they sleep until there is work"};
  if (settings.fifo && settings.profile != Profile::realtime)
    return Refusal{"fifo", "it belongs to --profile realtime"};

  const std::pair<const char*, uint32_t> tcp_memories[] = {{"send-memory-mib", settings.send_memory_mib},
                                                           {"receive-memory-mib", settings.receive_memory_mib}};
  for (const auto& [setting, mib] : tcp_memories)
    if (mib < tcp_memory_mib_min || mib > tcp_memory_mib_max)
      return Refusal{setting, "a worker takes " + std::to_string(tcp_memory_mib_min) + " to " +
                                  std::to_string(tcp_memory_mib_max) + " MiB"};
  if (settings.max_connections < 1 || settings.max_connections > connections_max)
    return Refusal{"max-connections", "a worker takes 1 to " + std::to_string(connections_max)};
  const std::pair<const char*, uint32_t> of_one_source[] = {
      {"max-connections-per-source", settings.max_connections_per_source},
      {"max-handshakes-per-source", settings.max_handshakes_per_source}};
  for (const auto& [setting, most] : of_one_source)
    if (most > connections_max) return Refusal{setting, "a worker takes 0 to " + std::to_string(connections_max)};

  if (settings.file_prefix.empty() || settings.file_prefix.size() > 64 ||
      settings.file_prefix.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
          std::string::npos)
    return Refusal{"file-prefix", "it becomes a file name: up to 64 letters, digits, dots, dashes, underscores"};
  if (settings.data_directory.empty()) return Refusal{"data-dir", "it is empty"};
  if (settings.control_socket.empty() || settings.control_socket.size() > 107)  // sockaddr_un
    return Refusal{"control-socket", "a Unix socket's path has 1 to 107 bytes"};
  return std::nullopt;
}

bool CorePlan::alone(size_t worker) const {
  return workers[worker] != control && std::count(workers.begin(), workers.end(), workers[worker]) == 1;
}

std::expected<CorePlan, Refusal> plan_cores(const Settings& settings, const Processors& processors) {
  auto refuse_unusable = [&](const char* setting, unsigned core) {
    return std::unexpected(
        Refusal{setting, "processor " + std::to_string(core) + " does not exist here, or this process may not use it"});
  };
  if (processors.usable.empty()) return std::unexpected(Refusal{"cores", "no processor may be used"});
  for (unsigned core : settings.cores)
    if (!contains(processors.usable, core)) return refuse_unusable("cores", core);
  if (settings.control_core && !contains(processors.usable, *settings.control_core))
    return refuse_unusable("control-core", *settings.control_core);

  CorePlan plan;
  // The control thread: the first processor that no worker was given, if possible one that is not isolated.
  auto control_rank = [&](unsigned core) {
    return 2 * contains(settings.cores, core) + contains(processors.isolated, core);
  };
  plan.control = settings.control_core.value_or(
      *std::min_element(processors.usable.begin(), processors.usable.end(),
                        [&](unsigned a, unsigned b) { return control_rank(a) < control_rank(b); }));

  std::vector<unsigned> candidates = settings.cores;
  if (candidates.empty()) {
    candidates = processors.usable;
    auto worker_rank = [&](unsigned core) { return 2 * (core == plan.control) + !contains(processors.isolated, core); };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](unsigned a, unsigned b) { return worker_rank(a) < worker_rank(b); });
  }
  for (size_t worker = 0; worker < settings.workers; worker++)
    plan.workers.push_back(candidates[worker % candidates.size()]);
  return plan;
}

std::expected<std::vector<bool>, Refusal> plan_fifo(const Settings& settings, const CorePlan& plan,
                                                    const std::vector<unsigned>& isolated) {
  std::vector<bool> fifo(plan.workers.size(), false);
  const FifoMode mode = settings.fifo.value_or(FifoMode::isolated);
  if (settings.profile != Profile::realtime || mode == FifoMode::never) return fifo;
  for (size_t worker = 0; worker < fifo.size(); worker++) {
    fifo[worker] = plan.alone(worker) && (mode == FifoMode::always || contains(isolated, plan.workers[worker]));
    if (mode == FifoMode::always && !fifo[worker])
      return std::unexpected(Refusal{"fifo", "worker " + std::to_string(worker) + " shares core " +
                                                 std::to_string(plan.workers[worker]) +
                                                 " with another thread of the broker, which would never run"});
  }
  return fifo;
}

}  // namespace talaria::app
