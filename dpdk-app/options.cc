#include "dpdk-app/options.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "core/base/version.h"
#include "core/broker/address.h"
#include "dpdk-app/exit_status.h"

namespace talaria::app {
namespace {

// What names a port begins it; a port has one of the others each, or (addresses, gateways, routes) several.
bool begins_port(std::string_view name) { return name == "port" || name == "vdev" || name == "tap"; }
bool stands_once_a_port(std::string_view name) { return name == "vlan" || name == "mtu"; }
bool belongs_to_port(std::string_view name) {
  return stands_once_a_port(name) || name == "address" || name == "gateway" || name == "route";
}

// Our file format for CLI11 (its own one splits values at commas and knows no line numbers).
class ConfigurationFile : public CLI::Config {
 public:
  explicit ConfigurationFile(const CLI::App& app) : app_(app) {}

  // CLI11 reads the command line first: what stood there is not looked at again here.
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    std::vector<CLI::ConfigItem> settings;
    std::string line;
    std::map<std::string, int> line_of_this_port;
    for (int number = 1; std::getline(input, line); number++) {
      const std::string text = CLI::detail::trim_copy(line);
      if (text.empty() || text.front() == '#') continue;
      const size_t equals = text.find('=');
      const std::string name = CLI::detail::trim_copy(text.substr(0, equals));
      const std::string value =
          equals == std::string_view::npos ? "true" : CLI::detail::trim_copy(text.substr(equals + 1));
      auto refuse = [&](const std::string& why) {
        throw CLI::ConfigError("line " + std::to_string(number) + ": " + why);
      };

      const CLI::Option* option = name.empty() ? nullptr : app_.get_option_no_throw("--" + name);
      if (option == nullptr || !option->get_configurable()) refuse("there is no setting '" + name + "'");
      const bool is_switch = option->get_expected_max() == 0;
      if (value.empty() || (equals == std::string_view::npos && !is_switch))
        refuse("the setting '" + name + "' needs a value, after '='");
      if (begins_port(name) && ++ports_ > 1) line_of_this_port.clear();  // what stands before the first is the first's
      if (begins_port(name) || belongs_to_port(name)) port_lines_.push_back(name);
      if (stands_once_a_port(name))
        if (const auto [earlier, is_first] = line_of_this_port.emplace(name, number); !is_first)
          refuse("'" + name + "' stands already in line " + std::to_string(earlier->second));
      const auto [earlier, is_first] = line_.emplace(name, number);
      const bool repeatable = option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
      if (!is_first && repeatable) {
        // CLI11 wants all values of an option in one item.
        auto first =
            std::find_if(settings.begin(), settings.end(), [&](const auto& item) { return item.name == name; });
        first->inputs.push_back(value);
        continue;
      }
      if (!is_first) refuse("'" + name + "' stands already in line " + std::to_string(earlier->second));
      CLI::ConfigItem& item = settings.emplace_back();
      item.name = name;
      item.inputs.push_back(value);
    }
    for (const CLI::ConfigItem& item : settings) {
      if (app_.get_option_no_throw("--" + item.name)->count() == 0) continue;
      line_.erase(item.name);  // the command line said it
      std::erase(port_lines_, item.name);
    }
    return settings;
  }

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

  // Where a setting was given in the file; 0: not there.
  int line_of(const std::string& name) const {
    auto found = line_.find(name);
    return found == line_.end() ? 0 : found->second;
  }
  // How many ports the file names, and what of it belongs to ports, line by line, unless the command line says it.
  size_t ports() const { return ports_; }
  const std::vector<std::string>& port_lines() const { return port_lines_; }

 private:
  const CLI::App& app_;
  mutable std::map<std::string, int> line_;
  mutable size_t ports_ = 0;
  mutable std::vector<std::string> port_lines_;
};

// Turns a checked parser of settings.h into a function that CLI11 calls with each value of an option.
template <class Parser, class Store>
auto checked(const char* option, Parser parse, Store store) {
  return [option, parse, store](const std::string& text) {
    auto value = parse(text);
    if (!value) throw CLI::ValidationError(option, value.error());
    store(std::move(*value));
  };
}

// The same for an option that may be given more than once.
template <class Parser, class Store>
auto checked_each(const char* option, Parser parse, Store store) {
  return [one = checked(option, parse, store)](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) one(text);
  };
}

// A whole number in a range.
CLI::Validator between(uint64_t lowest, uint64_t highest) {
  const auto check = [lowest, highest](const std::string& text) {
    uint64_t value = 0;
    const bool is_number = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (is_number && CLI::detail::lexical_cast(text, value) && value >= lowest && value <= highest)
      return std::string();
    return "'" + text + "' is no number from " + std::to_string(lowest) + " to " + std::to_string(highest);
  };
  return CLI::Validator(check, "");
}

std::string none_of(std::string_view text, const std::vector<std::string>& words) {
  return "'" + std::string(text) + "' is none of " + CLI::detail::join(words, ", ");
}

// One of some words.
CLI::Validator one_of(std::vector<std::string> words) {
  return CLI::Validator(
      [words = std::move(words)](const std::string& text) {
        if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
        return none_of(text, words);
      },
      "");
}

// A switch; the configuration file may give it a value.
CLI::Validator on_or_off() { return one_of({"true", "false"}); }

// A parser of words that stand for values.
template <class Value>
auto word_for(std::vector<std::pair<std::string, Value>> known) {
  return [known = std::move(known)](std::string_view text) -> Checked<Value> {
    std::vector<std::string> words;
    for (const auto& [word, value] : known) {
      if (text == word) return value;
      words.push_back(word);
    }
    return std::unexpected(none_of(text, words));
  };
}

const auto parse_idle_mode =
    word_for<IdleMode>({{"spin", IdleMode::spin}, {"adaptive", IdleMode::adaptive}, {"wait", IdleMode::wait}});
const auto parse_profile =
    word_for<Profile>({{"standard", Profile::standard}, {"realtime", Profile::realtime}, {"green", Profile::green}});
const auto parse_congestion_control = word_for<tcp::CongestionControl>(
    {{"cubic", tcp::CongestionControl::cubic}, {"newreno", tcp::CongestionControl::newreno}});
const auto parse_fifo_mode =
    word_for<FifoMode>({{"isolated", FifoMode::isolated}, {"always", FifoMode::always}, {"never", FifoMode::never}});

Checked<bool> parse_yes_or_no(std::string_view text) {
  if (text == "yes") return true;
  if (text == "no") return false;
  return std::unexpected("'" + std::string(text) + "' is neither yes nor no");
}

template <uint16_t lowest, uint16_t highest>
Checked<uint16_t> parse_number_from(std::string_view text) {
  static const CLI::Validator validator = between(lowest, highest);
  std::string value(text);
  if (const std::string reason = validator(value); !reason.empty()) return std::unexpected(reason);
  return static_cast<uint16_t>(std::stoul(value));
}

constexpr const char* footer = R"(
Several ports: each --port, --vdev or --tap begins one, and the --address, --gateway, --route, --vlan and --mtu behind
it, up to the next port, are that port's.

The configuration file holds one setting a line, as `address = 198.18.0.2/24`, named as the options above without
their dashes. What the command line says wins.

Exit status: 0 ended when asked to; 2 a setting was refused; 3 privileges are missing; 4 memory or huge pages are
missing; 5 the port cannot be used; 6 the data directory or the control socket cannot be used; 1 anything else.

  talariad --no-huge --tap talaria0 --address 198.18.0.2/24 --demo-account
  talariad --port 0000:01:00.0 --address 198.18.0.2/24 --gateway 198.18.0.1 --workers 4 --cores 2-5
  talariad --no-huge --tap talaria0 --address 198.18.0.2/24 --tap talaria1 --address 198.18.1.2/24
)";

struct CommandLine {
  Settings settings;
  CLI::App app{"talariad: the Talaria broker. Speaks AMQP 0-9-1 on a network port that it drives itself, with DPDK.",
               "talariad"};
  std::shared_ptr<ConfigurationFile> file = std::make_shared<ConfigurationFile>(app);
  bool no_huge = false;
  CLI::Option* workers = nullptr;
  // What belongs to a port: each of the option's values is put there by `store`.
  struct PortOption {
    std::string name;
    CLI::Option* option = nullptr;
    std::function<void(PortSettings&, const std::string&)> store;
  };
  std::vector<PortOption> port_options;

  void declare(std::string_view configuration_file);
  void declare_ports();
  template <class Parser, class Store>
  CLI::Option* port_option(const char* name, Parser parse, Store store, const char* type, const char* help);
  std::expected<std::vector<PortSettings>, Refusal> ports() const;
};

template <class Parser, class Store>
CLI::Option* CommandLine::port_option(const char* name, Parser parse, Store store, const char* type, const char* help) {
  using Value = typename decltype(parse(std::string_view()))::value_type;
  CLI::Option* option =
      app.add_option_function<std::vector<std::string>>(name, checked_each(name, parse, [](const Value&) {}), help)
          ->type_name(type)
          ->expected(1)
          ->take_all()
          ->group("Port");
  port_options.push_back(
      {name + 2, option, [parse, store](PortSettings& port, const std::string& text) { store(port, *parse(text)); }});
  return option;
}

void CommandLine::declare_ports() {
  port_option(
      "--port", parse_pci_address, [](PortSettings& port, std::string value) { port.pci_port = std::move(value); },
      "PCI", "PCI address of a port that is bound to a DPDK driver (see scripts/bind-nic)");
  port_option(
      "--vdev", parse_vdev, [](PortSettings& port, std::string value) { port.vdev = std::move(value); }, "SPEC",
      "Virtual port, in place of --port: net_af_xdp0,iface=NAME, net_af_packet0,iface=NAME, net_tap0,iface=NAME, "
      "net_memif0,..., virtio_user0,..., net_ring0, net_null0");
  port_option(
      "--tap", parse_interface_name, [](PortSettings& port, std::string value) { port.tap = std::move(value); }, "NAME",
      "Tap interface of the kernel, in place of --port; it is made if it is not there, and needs an address of the "
      "broker's network and to be set up");
  port_option(
      "--address", parse_address_with_prefix,
      [](PortSettings& port, net::IpPrefix value) { port.addresses.push_back(value); }, "ADDRESS/LEN",
      "An IPv4 or IPv6 address of the broker on the port, with its prefix length; up to 15. Without any: from a DHCP "
      "server, and IPv6 ones of what routers advertise");
  port_option(
      "--gateway", parse_address, [](PortSettings& port, net::IpAddress value) { port.gateways.push_back(value); },
      "ADDRESS",
      "Router to everything that no network of the addresses and no --route leads to; without it that is not "
      "reached. One for IPv4, one for IPv6");
  port_option(
      "--route", parse_route, [](PortSettings& port, net::Route value) { port.routes.push_back(value); },
      "NETWORK/LEN,ROUTER", "A network and the router that leads there; may be given more than once");
  port_option(
      "--vlan", parse_number_from<1, 4094>, [](PortSettings& port, uint16_t value) { port.vlan = value; }, "1..4094",
      "VLAN id of all frames of the port, in and out");
  port_option(
      "--mtu", parse_number_from<68, 65535>, [](PortSettings& port, uint16_t value) { port.mtu = value; }, "68..65535",
      "Largest IP packet in bytes")
      ->default_str("1500");
}

// In the order in which it stands, the file first. A command line that names ports names all of them.
std::expected<std::vector<PortSettings>, Refusal> CommandLine::ports() const {
  std::vector<std::pair<const PortOption*, std::string>> lines;
  std::map<const CLI::Option*, size_t> taken;
  const auto take = [&](const CLI::Option* option) {
    for (const PortOption& each : port_options)
      if (each.option == option) lines.emplace_back(&each, option->results()[taken[option]++]);
  };
  bool named_here = false;
  for (const CLI::Option* option : app.parse_order())
    for (const PortOption& each : port_options) {
      if (each.option != option) continue;
      named_here |= begins_port(each.name);
      if (file->ports() > 1)
        return std::unexpected(
            Refusal{each.name, "the configuration file names several ports: what is theirs can be said only there"});
    }
  for (const std::string& name : file->port_lines())
    if (!named_here || !begins_port(name)) take(app.get_option("--" + name));
  for (const CLI::Option* option : app.parse_order()) take(option);

  std::vector<PortSettings> ports(1);
  std::set<std::string> stands;  // of what a port has one
  bool named = false;
  for (const auto& [option, value] : lines) {
    if (begins_port(option->name) && std::exchange(named, true)) {
      ports.emplace_back();
      stands.clear();
    }
    if (stands_once_a_port(option->name) && !stands.insert(option->name).second)
      return std::unexpected(Refusal{option->name, "is given more than once"});
    option->store(ports.back(), value);
  }
  return ports;
}

void CommandLine::declare(std::string_view configuration_file) {
  app.config_formatter(file);
  app.set_config("--config", std::string(configuration_file), "Configuration file; the default one need not exist")
      ->group("General");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_version_flag("--version", "talariad " + std::string(base::version))->group("General");
  app.get_help_ptr()->group("General");
  app.footer(footer);
  app.get_formatter()->column_width(34);

  declare_ports();

  // ---- cores and memory
  workers = app.add_option("--workers", settings.workers, "Datapath workers, one a core (default: as many as --cores)")
                ->check(between(1, broker::workers_max))
                ->type_name("1..64")
                ->group("Cores and memory");
  app.add_option_function<std::string>(
         "--cores",
         checked("--cores", parse_core_list,
                 [this](std::vector<unsigned> value) { settings.cores = std::move(value); }),
         "Processors of the workers, as 2,4-6 (default: isolated ones first). Fewer than workers: they share")
      ->type_name("LIST")
      ->group("Cores and memory");
  app.add_option("--control-core", settings.control_core,
                 "Processor of the control thread (default: one without worker)")
      ->check(between(0, processor_max))
      ->type_name("N")
      ->group("Cores and memory");
  app.add_option_function<std::string>(
         "--profile", checked("--profile", parse_profile, [this](Profile value) { settings.profile = value; }),
         "standard; realtime: workers spin, memory is locked and touched, SCHED_FIFO on isolated cores, the "
         "processors' "
         "sleep states are kept out, and what the host does wrong is said; green: idle workers sleep until there is "
         "work (--idle wait)")
      ->type_name("standard|realtime|green")
      ->group("Cores and memory");
  app.add_option_function<std::string>(
         "--fifo", checked("--fifo", parse_fifo_mode, [this](FifoMode value) { settings.fifo = value; }),
         "With --profile realtime: which workers run under SCHED_FIFO; isolated: those on an isolated core of their "
         "own "
         "(default)")
      ->type_name("isolated|always|never")
      ->group("Cores and memory");
  app.add_option_function<std::string>(
         "--idle", checked("--idle", parse_idle_mode, [this](IdleMode value) { settings.idle = value; }),
         "An idle worker spins, or (adaptive) pauses and then sleeps up to 50 us at a time, or (wait) until there is "
         "work (default: spin on an isolated core of its own, adaptive elsewhere)")
      ->type_name("spin|adaptive|wait")
      ->group("Cores and memory");
  app.add_option("--memory-mib", settings.memory_mib, "Memory of each worker for messages")
      ->check(between(memory_mib_min, memory_mib_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option("--send-memory-mib", settings.send_memory_mib,
                 "Memory of each worker for what its clients have not yet acknowledged to TCP")
      ->check(between(tcp_memory_mib_min, tcp_memory_mib_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option("--receive-memory-mib", settings.receive_memory_mib,
                 "Memory of each worker for what came in and was not yet read")
      ->check(between(tcp_memory_mib_min, tcp_memory_mib_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option("--max-connections", settings.max_connections, "Connections of each worker; reserves memory for them")
      ->check(between(1, connections_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option("--max-connections-per-source", settings.max_connections_per_source,
                 "Connections of one remote address at each worker; 0: as many as there are")
      ->check(between(0, connections_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option("--max-handshakes-per-source", settings.max_handshakes_per_source,
                 "TCP handshakes of one remote address that are remembered; 0: as many as there are")
      ->check(between(0, connections_max))
      ->type_name("N")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_flag("--no-huge", no_huge, "Work without huge pages (slower)")->check(on_or_off())->group("Cores and memory");
  app.add_option("--file-prefix", settings.file_prefix, "Name that tells several brokers on one host apart, for DPDK")
      ->type_name("NAME")
      ->capture_default_str()
      ->group("Cores and memory");
  app.add_option_function<std::string>(
         "--eal",
         checked("--eal", parse_eal_arguments,
                 [this](std::vector<std::string> value) { settings.eal_arguments = std::move(value); }),
         "More arguments for DPDK's environment layer, as a shell would split them")
      ->type_name("'ARGUMENTS'")
      ->group("Cores and memory");

  // ---- the broker
  app.add_option("--amqp-port", settings.amqp_port, "TCP port of AMQP 0-9-1")
      ->check(between(1, 65535))
      ->type_name("PORT")
      ->capture_default_str()
      ->group("Broker");
  app.add_option("--tcp-keepalive", settings.tcp_keepalive,
                 "Seconds of silence after which TCP asks a peer whether it is still there; 0: never")
      ->check(between(0, 86400))
      ->type_name("0..86400")
      ->capture_default_str()
      ->group("Broker");
  app.add_option("--data-dir", settings.data_directory, "Where users, permissions and durable topology are kept")
      ->type_name("DIR")
      ->capture_default_str()
      ->group("Broker");
  app.add_option("--control-socket", settings.control_socket, "Unix socket that talariactl speaks to")
      ->type_name("PATH")
      ->capture_default_str()
      ->group("Broker");
  app.add_option_function<std::string>(
         "--congestion-control",
         checked("--congestion-control", parse_congestion_control,
                 [this](tcp::CongestionControl value) { settings.congestion_control = value; }),
         "How connections share a network that loses packets: CUBIC (default) or NewReno")
      ->type_name("cubic|newreno")
      ->group("Broker");
  app.add_option_function<std::string>(
         "--move-queues",
         checked("--move-queues", parse_yes_or_no, [this](bool value) { settings.move_queues = value; }),
         "A queue moves to the worker where all its publishers and consumers are (default: yes)")
      ->type_name("yes|no")
      ->group("Broker");
  app.add_flag("--demo-account", settings.demo_account, "Make the account guest/guest with all permissions")
      ->check(on_or_off())
      ->group("Broker");
  app.add_option("--log-level", settings.log_level, "The least important lines that are logged")
      ->check(one_of({"trace", "debug", "info", "warning", "error", "critical", "off"}))
      ->type_name("trace|debug|info|warning|error|critical|off")
      ->capture_default_str()
      ->group("Broker");
  app.add_option("--log-file", settings.log_file, "Where lines are appended (default: standard error)")
      ->type_name("FILE")
      ->group("Broker");
}

}  // namespace

std::expected<Settings, Ending> read_options(int argument_count, const char* const* arguments,
                                             std::string_view configuration_file) {
  CommandLine line;
  auto refused = [](const std::string& text) {
    return std::unexpected(Ending{exit_settings, "talariad: " + text + "\nTry 'talariad --help'."});
  };
  // "/etc/talaria/talaria.conf line 7: workers: reason", or "--workers: reason".
  auto place = [&](const std::string& setting) {
    const int number = line.file->line_of(setting);
    if (number == 0) return "--" + setting;
    return line.app.get_config_ptr()->as<std::string>() + " line " + std::to_string(number) + ": " + setting;
  };

  try {
    line.declare(configuration_file);
    line.app.parse(argument_count, arguments);
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(Ending{0, line.app.help()});
  } catch (const CLI::CallForVersion& version) {
    return std::unexpected(Ending{0, version.what()});
  } catch (const CLI::ConfigError& error) {
    return refused(line.app.get_config_ptr()->as<std::string>() + " " + error.what());
  } catch (const CLI::ParseError& error) {
    // CLI11 begins what it says about a value with the option's name.
    const std::string text = error.what();
    const size_t end = text.find_first_of(": ", 2);
    if (text.starts_with("--") && end != std::string_view::npos) {
      if (text.find("At Most 1 required") != std::string_view::npos)
        return refused(text.substr(0, end) + " is given more than once");
      const size_t reason = text.find_first_not_of(": ", end);
      return refused(place(text.substr(2, end - 2)) + ": " +
                     (reason == std::string_view::npos ? "" : text.substr(reason)));
    }
    return refused(text);
  }

  Settings& settings = line.settings;
  auto ports = line.ports();
  if (!ports && ports.error().reason.starts_with("is given"))
    return refused("--" + ports.error().setting + " " + ports.error().reason);
  if (!ports) return refused(place(ports.error().setting) + ": " + ports.error().reason);
  settings.ports = std::move(*ports);
  settings.huge_pages = !line.no_huge;
  if (line.workers->empty() && !settings.cores.empty()) settings.workers = static_cast<uint16_t>(settings.cores.size());
  if (auto contradiction = find_contradiction(settings))
    return refused(place(contradiction->setting) + ": " + contradiction->reason);
  return std::move(settings);
}

}  // namespace talaria::app
