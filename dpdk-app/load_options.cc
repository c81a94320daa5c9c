#include "dpdk-app/load_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "core/base/version.h"
#include "dpdk-app/exit_status.h"

namespace talaria::app {
namespace {

constexpr const char* footer = R"(
Every message carries the time at which it was due, its producer and its number: latency is counted from the time it
should have been sent, whether the load kept up or not, and what is lost, doubled or out of order is found.

Exit status: 0 every message arrived once and in order; 1 some did not, or the run failed; 2 an option was refused;
3 privileges are missing; 4 memory is missing; 5 the port cannot be used.

  talaria-load --transport rings --size 100 --seconds 5 --json
  talaria-load --transport rings --rate 200000 --confirms 1000 --acks multiple --prefetch 4000
  talaria-load --transport rings --exchange fanout --queues 8 --consumers 8
  talaria-load --transport rings --ramp --ramp-p99-us 100 --svg knee.svg
  talaria-load --transport memif --memif-socket /run/talaria/memif.sock --address 198.18.0.3/24 --broker 198.18.0.2
)";

base::Duration seconds(double value) { return base::Duration{static_cast<int64_t>(value * 1e9)}; }

struct CommandLine {
  LoadSettings settings;
  CLI::App app{
      "talaria-load: a load generator and latency meter for AMQP 0-9-1 brokers on a TCP stack of its own, "
      "past the kernel.",
      "talaria-load"};
  std::string transport = "rings";
  std::string memif_socket = "/run/talaria/memif.sock";
  std::string exchange = "default";
  std::string acks = "none";
  std::string sizes = "100";
  std::string address = "198.18.0.3/24";
  std::string broker = "198.18.0.2:5672";
  std::string gateway;
  std::string cores;
  std::string eal;
  double window = 5, warm_up = 0.5, drain = 2, ceiling_seconds = 1;
  bool no_huge = false, huge = false, no_ceiling = false, ramp = false;
  load::RampOptions ramp_options;
  double ramp_p99_us = 1000;

  void declare();
  std::expected<void, std::string> finish();
};

void CommandLine::declare() {
  app.set_version_flag("--version", "talaria-load " + std::string(base::version))->group("General");
  app.get_help_ptr()->group("General");
  app.footer(footer);
  app.get_formatter()->column_width(34);
  load::Plan& plan = settings.plan;

  const auto number = [&](const char* name, auto& value, const char* text, const char* group) {
    return app.add_option(name, value, text)->type_name("N")->capture_default_str()->group(group);
  };
  const auto text = [&](const char* name, std::string& value, const char* type, const char* description,
                        const char* group) {
    return app.add_option(name, value, description)->type_name(type)->capture_default_str()->group(group);
  };

  const char* what = "What is sent";
  number("--producers", plan.producers, "Connections that publish", what);
  number("--consumers", plan.consumers,
         "Connections that consume; each from one queue, or from several when there are more queues", what);
  number("--queues", plan.queues, "Queues", what);
  text("--exchange", exchange, "TYPE", "default, direct, fanout, topic or headers; but for default it is declared",
       what)
      ->check(CLI::IsMember({"default", "direct", "fanout", "topic", "headers"}));
  number("--bindings", plan.bindings, "Bindings of a direct, topic or headers exchange, in all; 0: one a queue", what);
  text("--size", sizes, "BYTES", "Of a body, 16 at least; several in turn as 100,1024, by weight as 100:9,65536:1",
       what);
  text("--acks", acks, "none|single|multiple", "How consumers acknowledge; multiple: once a turn, for all that came",
       what)
      ->check(CLI::IsMember({"none", "single", "multiple"}));
  number("--prefetch", plan.prefetch, "Of each consumer; 0: no bound. Needs acks", what);
  number("--confirms", plan.confirm_window, "Publishes of a producer that may be unconfirmed; 0: no confirms", what);
  number("--in-flight", plan.in_flight, "Messages published and not yet delivered, at most; 0: no bound", what);
  number("--at-rest", plan.at_rest, "So many messages are published while nobody consumes, then all of them consumed",
         what);

  const char* when = "How fast and how long";
  number("--rate", plan.rate, "Messages a second, of all producers together; 0: flat out", when);
  number("--seconds", window, "How long is measured", when);
  number("--warm-up", warm_up, "Seconds before that", when);
  number("--drain", drain, "Seconds without a delivery after which what is missing is lost", when);
  number("--runs", settings.runs, "Runs one after the other; the one with the median deliver rate is reported", when)
      ->check(CLI::Range(1, 99));
  app.add_flag("--ramp", ramp, "Look for the knee: the greatest rate with p99 below a bound and nothing lost")
      ->group(when);
  number("--ramp-from", ramp_options.from, "The first rate", when);
  number("--ramp-to", ramp_options.to, "The greatest rate", when);
  number("--ramp-p99-us", ramp_p99_us, "The bound, in microseconds", when);

  const char* where = "To whom";
  text("--transport", transport, "rings|memif|port",
       "rings: a broker inside this process, no port; memif: shared memory with another process; port: --port, --vdev "
       "or --tap",
       where)
      ->check(CLI::IsMember({"rings", "memif", "port"}));
  text("--memif-socket", memif_socket, "PATH", "Socket of the broker's net_memif port (its role=server)", where);
  text("--port", settings.base.ports[0].pci_port, "PCI", "PCI address of a port that is bound to a DPDK driver", where);
  text("--vdev", settings.base.ports[0].vdev, "SPEC", "Virtual port, as talariad's --vdev", where);
  text("--tap", settings.base.ports[0].tap, "NAME", "Tap interface of the kernel, as talariad's --tap", where);
  text("--address", address, "ADDRESS/LEN", "The load's own address", where);
  text("--gateway", gateway, "ADDRESS", "Router to everything outside the prefix", where);
  text("--broker", broker, "ADDRESS[:PORT]", "The broker; an IPv6 address with a port stands in brackets", where);
  text("--user", plan.user, "NAME", "Account", where);
  text("--password", plan.password, "TEXT", "Its password", where);
  text("--vhost", plan.vhost, "NAME", "Virtual host", where);
  text("--prefix", plan.prefix, "NAME", "Names of queues and exchange begin with it", where);
  number("--mtu", settings.base.ports[0].mtu, "Largest IP packet in bytes", where)->check(CLI::Range(576, 64000));
  app.add_flag("--checksums", settings.checksums, "With rings: compute and check them, as for a port that does not")
      ->group(where);

  const char* machine = "Cores and memory";
  text("--cores", cores, "LIST", "Processors: broker's and load's with rings, else the load's alone", machine);
  number("--memory-mib", settings.base.memory_mib, "With rings: the broker's memory for messages", machine);
  app.add_flag("--no-huge", no_huge, "No huge pages (default when there are not enough)")->group(machine);
  app.add_flag("--huge", huge, "Huge pages, or none at all")->excludes("--no-huge")->group(machine);
  text("--file-prefix", settings.base.file_prefix, "NAME", "Tells DPDK processes on one host apart", machine);
  text("--eal", eal, "'ARGUMENTS'", "More arguments for DPDK's environment layer", machine);

  const char* told = "What is told";
  text("--label", settings.label, "TEXT", "Name of the run, in all that is written", told);
  app.add_flag("--json", settings.json, "One JSON object on standard output, nothing else")->group(told);
  app.add_flag("--row", settings.row, "One row of a table on standard output")->excludes("--json")->group(told);
  text("--json-file", settings.json_file, "FILE", "Append the JSON object as a line", told);
  text("--svg", settings.svg_file, "FILE", "Plot of latency against rate, of a ramp's runs", told);
  app.add_flag("--no-ceiling", no_ceiling, "Do not measure the load itself against a sink")->group(told);
  number("--ceiling-seconds", ceiling_seconds, "How long each half of that takes", told);
}

std::expected<void, std::string> CommandLine::finish() {
  load::Plan& plan = settings.plan;
  settings.transport = transport == "rings"   ? Transport::rings
                       : transport == "memif" ? Transport::memif
                                              : Transport::port;
  const std::map<std::string, load::ExchangeKind> kinds = {{"default", load::ExchangeKind::none},
                                                           {"direct", load::ExchangeKind::direct},
                                                           {"fanout", load::ExchangeKind::fanout},
                                                           {"topic", load::ExchangeKind::topic},
                                                           {"headers", load::ExchangeKind::headers}};
  plan.exchange = kinds.at(exchange);
  plan.acks = acks == "none" ? load::Acks::none : acks == "single" ? load::Acks::single : load::Acks::multiple;
  auto body_sizes = load::parse_body_sizes(sizes);
  if (!body_sizes) return std::unexpected("--size: '" + sizes + "' is no size and no list like 100:9,65536:1");
  plan.sizes = std::move(*body_sizes);
  for (const auto& [name, value] : {std::pair{"--seconds", window},
                                    {"--warm-up", warm_up},
                                    {"--drain", drain},
                                    {"--ceiling-seconds", ceiling_seconds}})
    if (!(value >= 0 && value <= 86400)) return std::unexpected(std::string(name) + ": 0 to 86400 seconds");
  plan.window = seconds(window);
  plan.warm_up = seconds(warm_up);
  plan.drain_patience = seconds(drain);
  plan.leaves_topology = settings.transport == Transport::rings;
  settings.ceiling = !no_ceiling;
  settings.ceiling_window = seconds(ceiling_seconds);

  if (plan.at_rest != 0)
    for (const char* name : {"--seconds", "--warm-up", "--ramp"})
      if (app.count(name) != 0) return std::unexpected(std::string(name) + " means nothing with --at-rest");
  if (ramp) {
    if (plan.paced()) return std::unexpected(std::string("--ramp looks for the rate: --rate says it"));
    if (settings.runs != 1) return std::unexpected(std::string("--ramp makes runs of its own: --runs has no place"));
    if (!(ramp_options.from >= 100 && ramp_options.to >= ramp_options.from && ramp_options.to <= 1e9))
      return std::unexpected(std::string("--ramp-from and --ramp-to: 100 <= from <= to <= 1e9"));
    if (!(ramp_p99_us > 0)) return std::unexpected(std::string("--ramp-p99-us: it is positive"));
    ramp_options.p99_max = base::Duration{static_cast<int64_t>(ramp_p99_us * 1000)};
    settings.ramp = ramp_options;
  } else {
    for (const char* name : {"--ramp-from", "--ramp-to", "--ramp-p99-us", "--svg"})
      if (app.count(name) != 0) return std::unexpected(std::string(name) + " needs --ramp");
  }

  Settings& base = settings.base;
  const auto only = [&](Transport wanted, std::initializer_list<const char*> names) -> std::string {
    if (settings.transport == wanted) return {};
    for (const char* name : names)
      if (app.count(name) != 0) return std::string(name) + " means nothing with --transport " + transport;
    return {};
  };
  for (const std::string& refused :
       {only(Transport::rings, {"--checksums", "--memory-mib"}), only(Transport::memif, {"--memif-socket"}),
        only(Transport::port, {"--port", "--vdev", "--tap"})})
    if (!refused.empty()) return std::unexpected(refused);
  if (settings.transport == Transport::rings)
    for (const char* name : {"--broker", "--gateway", "--address", "--user", "--password", "--vhost"})
      if (app.count(name) != 0) return std::unexpected(std::string(name) + " means nothing with --transport rings");

  auto own = parse_address_with_prefix(address);
  if (!own) return std::unexpected("--address: " + own.error());
  base.ports[0].addresses = {*own};
  if (!gateway.empty()) {
    auto router = parse_address(gateway);
    if (!router) return std::unexpected("--gateway: " + router.error());
    base.ports[0].gateways = {*router};
  }
  // "198.18.0.2:5672", "[2001:db8::2]:5672"; without a port "2001:db8::2".
  const bool bracketed = broker.starts_with('[');
  const bool has_port =
      bracketed ? broker.find("]:") != std::string::npos : std::count(broker.begin(), broker.end(), ':') == 1;
  const size_t colon = has_port ? broker.rfind(':') : broker.size();
  std::string host = broker.substr(0, colon);
  if (bracketed && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto broker_address = net::parse_ip_address(host);
  if (!broker_address) return std::unexpected("--broker: '" + broker + "' is no IP address with a port");
  if (settings.transport != Transport::rings && broker_address->is_v4() != own->address.is_v4())
    return std::unexpected(std::string("--broker and --address are of two families"));
  settings.broker_address = *broker_address;
  if (has_port) {
    const int port = atoi(broker.c_str() + colon + 1);
    if (port < 1 || port > 65535) return std::unexpected("--broker: '" + broker + "' has no TCP port");
    settings.broker_port = static_cast<uint16_t>(port);
  }

  if (settings.transport == Transport::memif)
    base.ports[0].vdev = "net_memif0,role=client,socket=" + memif_socket + ",socket-abstract=no";
  if (!base.ports[0].pci_port.empty()) {
    auto parsed = parse_pci_address(base.ports[0].pci_port);
    if (!parsed) return std::unexpected("--port: " + parsed.error());
    base.ports[0].pci_port = *parsed;
  }
  if (!base.ports[0].vdev.empty())
    if (auto parsed = parse_vdev(base.ports[0].vdev); !parsed) return std::unexpected("--vdev: " + parsed.error());
  if (!base.ports[0].tap.empty())
    if (auto parsed = parse_interface_name(base.ports[0].tap); !parsed)
      return std::unexpected("--tap: " + parsed.error());
  if (settings.transport == Transport::port &&
      !base.ports[0].pci_port.empty() + !base.ports[0].vdev.empty() + !base.ports[0].tap.empty() != 1)
    return std::unexpected(std::string("--transport port needs one of --port, --vdev and --tap"));

  if (!cores.empty()) {
    auto parsed = parse_core_list(cores);
    if (!parsed) return std::unexpected("--cores: " + parsed.error());
    const size_t wanted = settings.transport == Transport::rings ? 2 : 1;
    if (parsed->size() != wanted) return std::unexpected("--cores: there are " + std::to_string(wanted) + " of them");
    settings.cores = *parsed;
  }
  if (!eal.empty()) {
    auto parsed = parse_eal_arguments(eal);
    if (!parsed) return std::unexpected("--eal: " + parsed.error());
    base.eal_arguments = *parsed;
  }
  if (no_huge || huge) settings.huge_pages = huge;

  if (auto contradiction = load::find_contradiction(plan)) return std::unexpected(*contradiction);
  return {};
}

}  // namespace

std::expected<LoadSettings, Ending> read_load_options(int argument_count, const char* const* arguments) {
  CommandLine line;
  line.settings.base.file_prefix = "talaria-load";
  const auto refused = [](const std::string& text) {
    return std::unexpected(Ending{exit_settings, "talaria-load: " + text + "\nTry 'talaria-load --help'."});
  };
  try {
    line.declare();
    line.app.parse(argument_count, arguments);
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(Ending{0, line.app.help()});
  } catch (const CLI::CallForVersion& version) {
    return std::unexpected(Ending{0, version.what()});
  } catch (const CLI::ParseError& error) {
    return refused(error.what());
  }
  if (auto finished = line.finish(); !finished) return refused(finished.error());
  return std::move(line.settings);
}

}  // namespace talaria::app
