// talariactl: the operator's program. A client of the control socket with rabbitmqctl's verbs; the broker does the
// work, this asks and prints. Of the broker it links nothing but the decoding of base64.

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/base64.h"

namespace {

using nlohmann::json;
using talaria::control::from_base64;

constexpr char default_socket[] = "/run/talaria/control.sock";

enum ExitCode : int {
  exit_ok = 0,
  exit_usage = 64,
  exit_refused = 65,
  exit_no_user = 67,
  exit_unreachable = 69,
  exit_internal = 70,
};

// Ends the program with a message.
struct Failure {
  ExitCode code;
  std::string message;
};

// One connection to the broker, one answer for each request.
class Broker {
 public:
  explicit Broker(std::string path) : path_(std::move(path)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) throw Failure{exit_usage, "the socket's path is too long"};
    std::memcpy(address.sun_path, path_.data(), path_.size());
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0 || ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw Failure{exit_unreachable, "no broker answers at " + path_ + ": " + std::strerror(errno)};
  }
  ~Broker() {
    if (socket_ >= 0) ::close(socket_);
  }
  Broker(const Broker&) = delete;

  // The result, or a Failure with the code that fits.
  json ask(const json& request) {
    send(request.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
    json reply = json::parse(read_line(), nullptr, false);
    if (!reply.is_object() || !reply.contains("ok")) throw Failure{exit_internal, "the broker's answer is none"};
    if (reply["ok"].get<bool>()) return reply.value("result", json::object());
    std::string error = reply.value("error", "");
    ExitCode code = exit_refused;
    if (error == "bad_request" || error == "unknown_command" || error == "bad_argument") code = exit_usage;
    if (error == "no_such_user") code = exit_no_user;
    if (error == "store_failed") code = exit_internal;
    throw Failure{code, reply.value("message", error)};
  }

 private:
  void send(const std::string& line) const {
    for (size_t sent = 0; sent < line.size();) {
      ssize_t size = ::send(socket_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) throw Failure{exit_unreachable, std::string("the broker went away: ") + std::strerror(errno)};
      sent += static_cast<size_t>(size);
    }
  }
  std::string read_line() {
    for (;;) {
      size_t end = read_.find('\n');
      if (end != std::string::npos) {
        std::string line = read_.substr(0, end);
        read_.erase(0, end + 1);
        return line;
      }
      char buffer[65536];
      ssize_t size = ::recv(socket_, buffer, sizeof buffer, 0);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) throw Failure{exit_unreachable, "the broker went away before it answered"};
      read_.append(buffer, static_cast<size_t>(size));
    }
  }

  std::string path_;
  int socket_ = -1;
  std::string read_;
};

// ---- printing -------------------------------------------------------------------------------------------------------

std::string number_text(double number) {
  char text[48];
  std::snprintf(text, sizeof text, number < 1000 ? "%.1f" : "%.0f", number);
  return text;
}

std::string cell(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "";
    case json::value_t::string: return value.get<std::string>();
    case json::value_t::number_float: return number_text(value.get<double>());
    case json::value_t::array: {
      std::string out = "[";
      for (const json& item : value) out += (out.size() > 1 ? ", " : "") + cell(item);
      return out + "]";
    }
    case json::value_t::object: return value.empty() ? "" : value.dump(-1, ' ', false, json::error_handler_t::replace);
    default: return value.dump();
  }
}

// Names come from clients: what would move the cursor is not printed.
std::string safe(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '.');
  return text;
}

// Code points, which is close enough to columns on a terminal.
size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void print_table(const json& rows, const std::vector<std::string>& columns, bool headers) {
  std::vector<std::vector<std::string>> cells;
  if (headers) cells.push_back(columns);
  for (const json& row : rows) {
    auto& line = cells.emplace_back();
    for (const std::string& column : columns) line.push_back(row.contains(column) ? safe(cell(row[column])) : "");
  }
  std::vector<size_t> widths(columns.size());
  for (const auto& line : cells)
    for (size_t i = 0; i < line.size(); i++) widths[i] = std::max(widths[i], width(line[i]));
  for (const auto& line : cells) {
    std::string text;
    for (size_t i = 0; i < line.size(); i++) {
      text += line[i];
      if (i + 1 < line.size()) text.append(widths[i] - width(line[i]) + 2, ' ');
    }
    std::cout << text << "\n";
  }
}

void print_pairs(const json& object) {
  size_t widest = 0;
  for (const auto& [name, value] : object.items()) widest = std::max(widest, name.size());
  for (const auto& [name, value] : object.items())
    std::cout << name << std::string(widest - name.size() + 2, ' ') << safe(cell(value)) << "\n";
}

void print_json(const json& value) { std::cout << value.dump(2, ' ', false, json::error_handler_t::replace) << "\n"; }

// ---- verbs ----------------------------------------------------------------------------------------------------------

struct Options {
  std::string socket = default_socket;
  bool as_json = false;
  bool quiet = false;
  bool no_headers = false;
  std::string vhost = "/";
  std::string only_vhost;  // of definitions; "": all of them
  std::vector<std::string> columns;
  std::string user, password, name, file, explanation, level, configure, write, read, description, queue_type;
  std::vector<std::string> tags;
  bool if_unused = false, if_empty = false, global = false;
  std::string filter, definition, pattern, apply_to = "all";
  int64_t priority = 0;
  uint32_t snap_length = 0, mib_max = 100;
  uint64_t count = 0;
  double seconds = 0;
};

struct Listing {
  const char* verb;
  const char* help;
  bool in_vhost;
  const char* columns;  // the default ones
};

constexpr Listing listings[] = {
    {"list_queues", "queues of a vhost", true, "name messages"},
    {"list_exchanges", "exchanges of a vhost", true, "name type"},
    {"list_bindings", "bindings of a vhost", true,
     "source_name source_kind destination_name destination_kind routing_key arguments"},
    {"list_connections", "connections", false, "user peer_host peer_port state"},
    {"list_channels", "channels", false, "pid user consumer_count messages_unacknowledged"},
    {"list_consumers", "consumers of a vhost", true,
     "queue_name channel_pid consumer_tag ack_required prefetch_count active arguments"},
    {"list_users", "accounts and their tags", false, "user tags"},
    {"list_vhosts", "virtual hosts", false, "name"},
    {"list_vhost_limits", "limits of a vhost", true, "vhost limits"},
    {"list_user_limits", "limits of users", false, "user limits"},
    {"list_permissions", "who may do what in a vhost", true, "user configure write read"},
    {"list_topic_permissions", "who may use which routing keys in a vhost", true, "user exchange write read"},
    {"list_user_topic_permissions", "which routing keys an account may use", false, "vhost exchange write read"},
    {"list_policies", "policies of a vhost", true, "vhost name pattern apply-to definition priority"},
    {"list_operator_policies", "operators' policies of a vhost", true,
     "vhost name pattern apply-to definition priority"},
    {"workers", "each datapath core: how busy, how fast", false,
     "worker core isolated busy_percent idle_percent asleep_percent packets_in_rate packets_out_rate messages_in_rate "
     "messages_out_rate longest_turn_us connections refusals"},
    {"counters", "every counter of each worker, by layer", false, "worker layer counter value"},
    {"latency", "time messages spent in the broker", false,
     "worker messages p50_us p90_us p99_us p99.9_us p99.99_us max_us"},
    {"turns", "how long the turns of each worker's loop took: its jitter", false,
     "worker turns p50_us p99_us p99.9_us p99.99_us max_us over_100us over_1ms over_10ms"},
};

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

void list(Broker& broker, const Options& options, const Listing& listing) {
  json request = {{"command", listing.verb}};
  if (listing.in_vhost && !options.global) request["vhost"] = options.vhost;
  if (!options.user.empty()) request["user"] = options.user;
  std::vector<std::string> columns = options.columns.empty() ? words(listing.columns) : options.columns;
  if (!(options.as_json && options.columns.empty())) request["columns"] = columns;
  json rows = broker.ask(request);
  if (options.as_json) return print_json(rows);
  print_table(rows, columns, !options.no_headers);
}

void ports(Broker& broker, const Options& options) {
  json rows = broker.ask({{"command", "ports"}});
  if (options.as_json) return print_json(rows);
  print_table(rows, words("port driver mac address link speed_mbps mtu numa_node"), !options.no_headers);
  std::cout << "\n";
  json lines = json::array();
  for (const json& port : rows) {
    for (const json& queue : port["queues"]) {
      json line = queue;
      line["port"] = port["port"];
      lines.push_back(std::move(line));
    }
    json total = port;
    total["queue"] = "all";
    lines.push_back(std::move(total));
  }
  print_table(lines, words("port queue packets_in bytes_in packets_out bytes_out drops"), !options.no_headers);
}

json read_definitions(const std::string& file) {
  std::string text;
  if (file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Failure{exit_refused, "cannot read " + file};
    text.assign(std::istreambuf_iterator<char>(stream), {});
  }
  json definitions = json::parse(text, nullptr, false);
  if (!definitions.is_object()) throw Failure{exit_refused, file + " holds no JSON object"};
  return definitions;
}

// The broker takes lines of at most 1 MiB: greater definitions go in parts, what others build on first.
std::vector<json> parts_of(json definitions) {
  constexpr size_t part_bytes = 512 * 1024;
  if (definitions.dump(-1, ' ', false, json::error_handler_t::replace).size() < part_bytes)
    return {std::move(definitions)};
  std::vector<json> parts;
  json part = json::object();
  size_t size = 0;
  for (const char* section : {"vhosts", "users", "permissions", "exchanges", "queues", "bindings", "policies",
                              "parameters", "global_parameters", "topic_permissions"}) {
    if (!definitions.contains(section) || !definitions[section].is_array()) continue;
    for (json& entry : definitions[section]) {
      size += entry.dump(-1, ' ', false, json::error_handler_t::replace).size() + 1;
      if (size > part_bytes && !part.empty()) {
        parts.push_back(std::exchange(part, json::object()));
        size = 0;
      }
      part[section].push_back(std::move(entry));
    }
  }
  parts.push_back(std::move(part));
  return parts;
}

// A request about the definitions of all vhosts, or of the one that was named.
json about_definitions(const char* command, const Options& options) {
  json request = {{"command", command}};
  if (!options.only_vhost.empty()) request["vhost"] = options.only_vhost;
  return request;
}

void import_definitions(Broker& broker, const Options& options) {
  json report = json::array();
  for (json& part : parts_of(read_definitions(options.file))) {
    json request = about_definitions("import_definitions", options);
    request["definitions"] = std::move(part);
    json result = broker.ask(request);
    for (json& line : result["report"]) report.push_back(std::move(line));
  }
  if (options.as_json) return print_json({{"report", report}});
  for (const json& line : report) std::cerr << safe(line.get<std::string>()) << "\n";
  if (!options.quiet) std::cout << "imported " << options.file << "\n";
}

void export_definitions(Broker& broker, const Options& options) {
  json definitions = broker.ask(about_definitions("export_definitions", options));
  if (options.file == "-") return print_json(definitions);
  std::ofstream stream(options.file, std::ios::binary | std::ios::trunc);
  stream << definitions.dump(2, ' ', false, json::error_handler_t::replace) << "\n";
  if (!stream.flush()) throw Failure{exit_refused, "cannot write " + options.file};
  if (!options.quiet) std::cout << "exported to " << options.file << "\n";
}

// A verb that changes something: prints a count if there is one, nothing else needs saying.
void change(Broker& broker, const Options& options, const json& request) {
  json result = broker.ask(request);
  if (options.as_json) return print_json(result);
  if (options.quiet) return;
  if (result.contains("count"))
    std::cout << result["count"] << " messages\n";
  else if (result.contains("level"))
    std::cout << safe(cell(result["level"])) << "\n";
}

volatile sig_atomic_t interrupted = 0;

// Reads parts of the file until the capture is over: by Ctrl-C, a bound, or the broker. The broker ends it by itself
// when this program is killed.
void capture(Broker& broker, const Options& options) {
  const bool to_output = options.file == "-";
  std::ofstream file;
  if (!to_output) file.open(options.file, std::ios::binary | std::ios::trunc);
  if (!to_output && !file) throw Failure{exit_refused, "cannot write " + options.file};
  std::ostream& out = to_output ? std::cout : file;

  using Clock = std::chrono::steady_clock;
  const auto until =
      options.seconds > 0
          ? Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(options.seconds))
          : Clock::time_point::max();
  signal(SIGINT, [](int) { interrupted = 1; });
  signal(SIGTERM, [](int) { interrupted = 1; });
  const json started = broker.ask({{"command", "capture_start"},
                                   {"port", options.name},
                                   {"filter", options.filter},
                                   {"snap_length", options.snap_length}});
  const json which = started["capture"];
  const uint64_t bytes_max = uint64_t{options.mib_max} << 20;
  uint64_t bytes = 0;
  bool stopped = false;
  for (;;) {
    const json part = broker.ask({{"command", "capture_read"}, {"capture", which}});
    const std::string text = part["data"].get<std::string>();
    const auto data = from_base64(text).value_or(std::vector<uint8_t>());
    out.write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
    if (!out.flush()) throw Failure{exit_refused, "cannot write " + options.file};
    bytes += data.size();
    const uint64_t frames = part["frames"].get<uint64_t>();
    if (part["done"].get<bool>()) {
      if (!options.quiet) std::cerr << frames << " frames, " << part["dropped"] << " dropped\n";
      return;
    }
    const bool enough = interrupted != 0 || Clock::now() >= until || bytes >= bytes_max ||
                        (options.count > 0 && frames >= options.count);
    if (enough && !stopped) broker.ask({{"command", "capture_stop"}, {"capture", which}});
    stopped |= enough;
    if (data.size() < 65536) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// A password may come on standard input, so that it stands in no process list and no shell history.
std::string password_of(const Options& options) {
  if (options.password != "-") return options.password;
  std::string line;
  std::getline(std::cin, line);
  return line;
}

constexpr char footer[] =
    "Exit codes: 0 done, 64 wrong usage or argument, 65 refused or not there, 67 no such user,\n"
    "69 the broker cannot be reached, 70 internal error.\n"
    "Environment: TALARIA_CONTROL, the socket's path.";

using Action = std::function<void(Broker&)>;

// Every verb with its arguments; the chosen one leaves what is to be done in `action`.
void describe(CLI::App& app, Options& options, Action& action) {
  auto verb = [&](const char* name, const char* help, Action run) {
    CLI::App* command = app.add_subcommand(name, help);
    command->fallthrough();
    command->callback([&action, run = std::move(run)] { action = run; });
    return command;
  };
  auto ask = [&options](std::function<json()> request) {
    return [&options, request = std::move(request)](Broker& broker) { change(broker, options, request()); };
  };
  auto in_vhost = [&](CLI::App* command) {
    command->add_option("-p,--vhost", options.vhost, "virtual host")->capture_default_str();
    return command;
  };

  verb("status", "what the broker is and holds", [&options](Broker& broker) {
    json status = broker.ask({{"command", "status"}});
    options.as_json ? print_json(status) : print_pairs(status);
  });
  for (const Listing& listing : listings) {
    CLI::App* command =
        verb(listing.verb, listing.help, [&options, &listing](Broker& broker) { list(broker, options, listing); });
    if (listing.in_vhost) in_vhost(command);
    if (std::string_view(listing.verb) == "list_user_topic_permissions")
      command->add_option("user", options.user, "the account's name")->required();
    command->add_option("columns", options.columns, std::string("default: ") + listing.columns);
    command->add_flag("--no-table-headers", options.no_headers, "rows only");
    const std::string name = listing.verb;
    if (name.ends_with("_limits")) command->add_flag("--global", options.global, "of all");
    if (name == "list_user_limits") command->add_option("--user", options.user, "of this account");
  }
  verb("ports", "network ports and their queues: packets, bytes, drops", [&options](Broker& broker) {
    ports(broker, options);
  })->add_flag("--no-table-headers", options.no_headers, "rows only");

  CLI::App* capture_verb = verb("capture", "frames of the port into a pcapng file, until Ctrl-C or a bound",
                                [&options](Broker& broker) { capture(broker, options); });
  capture_verb->add_option("--file", options.file, "where to; - is standard output, for wireshark -k -i -")->required();
  capture_verb->add_option("--port", options.name, "the port's name (see ports); default: all of them");
  capture_verb->add_option("--filter", options.filter, "which frames, in tcpdump's language, as 'tcp port 5672'");
  capture_verb->add_option("--snap-length", options.snap_length, "bytes kept of a frame; default: all");
  capture_verb->add_option("--count", options.count, "end after about so many frames");
  capture_verb->add_option("--seconds", options.seconds, "end after that time")->check(CLI::NonNegativeNumber);
  capture_verb->add_option("--mib-max", options.mib_max, "end when the file is about so long")->capture_default_str();

  auto user_argument = [&](CLI::App* command) {
    command->add_option("user", options.user, "the account's name")->required();
    return command;
  };
  auto password_argument = [&](CLI::App* command) {
    command->add_option("password", options.password, "the password; - reads it from standard input")->required();
  };
  password_argument(user_argument(
      verb("add_user", "make an account, without permissions", ask([&options] {
             return json{{"command", "add_user"}, {"user", options.user}, {"password", password_of(options)}};
           }))));
  user_argument(verb("delete_user", "remove an account and close its connections", ask([&options] {
                       return json{{"command", "delete_user"}, {"user", options.user}};
                     })));
  password_argument(user_argument(
      verb("change_password", "give an account another password", ask([&options] {
             return json{{"command", "change_password"}, {"user", options.user}, {"password", password_of(options)}};
           }))));
  user_argument(verb("set_user_tags", "replace an account's tags", ask([&options] {
                       return json{{"command", "set_user_tags"}, {"user", options.user}, {"tags", options.tags}};
                     })))
      ->add_option("tags", options.tags, "tags; none removes all");

  CLI::App* add_vhost = verb("add_vhost", "make a virtual host", ask([&options] {
                               return json{{"command", "add_vhost"},
                                           {"vhost", options.name},
                                           {"description", options.description},
                                           {"tags", options.tags},
                                           {"default_queue_type", options.queue_type}};
                             }));
  CLI::App* update_vhost = verb("update_vhost_metadata", "change a virtual host's description or tags", ask([&] {
                                  json request{{"command", "update_vhost_metadata"},
                                               {"vhost", options.name},
                                               {"default_queue_type", options.queue_type}};
                                  const CLI::App& command = *app.get_subcommand("update_vhost_metadata");
                                  if (command.count("--description")) request["description"] = options.description;
                                  if (command.count("--tags")) {
                                    std::erase(options.tags, "");  // --tags '': none
                                    request["tags"] = options.tags;
                                  }
                                  return request;
                                }));
  for (CLI::App* command : {add_vhost, update_vhost}) {
    command->add_option("vhost", options.name, "its name")->required();
    command->add_option("--description", options.description, "for people");
    command->add_option("--tags", options.tags, "separated by commas")->delimiter(',');
    command->add_option("--default-queue-type", options.queue_type, "there is classic");
  }
  verb("delete_vhost", "remove a virtual host with all that is in it", ask([&options] {
         return json{{"command", "delete_vhost"}, {"vhost", options.name}};
       }))
      ->add_option("vhost", options.name, "its name")
      ->required();

  in_vhost(verb("trace_on", "copy what is published and delivered in a vhost to amq.talaria.trace", ask([&options] {
                  return json{{"command", "trace_on"}, {"vhost", options.vhost}};
                })));
  in_vhost(verb("trace_off", "no longer", ask([&options] {
                  return json{{"command", "trace_off"}, {"vhost", options.vhost}};
                })));

  CLI::App* set_permissions = user_argument(
      in_vhost(verb("set_permissions", "let an account into a vhost", ask([&options] {
                      return json{{"command", "set_permissions"},   {"user", options.user},   {"vhost", options.vhost},
                                  {"configure", options.configure}, {"write", options.write}, {"read", options.read}};
                    }))));
  set_permissions->add_option("configure", options.configure, "regular expression")->required();
  set_permissions->add_option("write", options.write, "regular expression")->required();
  set_permissions->add_option("read", options.read, "regular expression")->required();
  user_argument(
      in_vhost(verb("clear_permissions", "keep an account out of a vhost", ask([&options] {
                      return json{{"command", "clear_permissions"}, {"user", options.user}, {"vhost", options.vhost}};
                    }))));

  CLI::App* set_topic = user_argument(in_vhost(
      verb("set_topic_permissions", "limit the routing keys an account may use", ask([&options] {
             return json{{"command", "set_topic_permissions"}, {"user", options.user},   {"vhost", options.vhost},
                         {"exchange", options.name},           {"write", options.write}, {"read", options.read}};
           }))));
  set_topic->add_option("exchange", options.name, "a topic exchange's name")->required();
  set_topic->add_option("write", options.write, "regular expression: keys to publish with")->required();
  set_topic->add_option("read", options.read, "regular expression: keys to bind with")->required();
  CLI::App* clear_topic = user_argument(
      in_vhost(verb("clear_topic_permissions", "no longer limit the routing keys an account may use", nullptr)));
  clear_topic->add_option("exchange", options.name, "of this exchange alone");
  clear_topic->callback([&action, &options, clear_topic] {
    action = [&options, clear_topic](Broker& broker) {
      json request = {{"command", "clear_topic_permissions"}, {"user", options.user}, {"vhost", options.vhost}};
      if (clear_topic->count("exchange") != 0) request["exchange"] = options.name;
      change(broker, options, request);
    };
  });

  auto limits = [&options] {
    const json given = json::parse(options.definition, nullptr, false);
    if (!given.is_object()) throw Failure{exit_usage, "limits are a JSON object, as {\"max-connections\": 100}"};
    return given;
  };
  in_vhost(verb("set_vhost_limits", "replace a vhost's limits", ask([&options, limits] {
                  return json{{"command", "set_vhost_limits"}, {"vhost", options.vhost}, {"limits", limits()}};
                })))
      ->add_option("definition", options.definition, "{\"max-connections\": N, \"max-queues\": N}")
      ->required();
  in_vhost(verb("clear_vhost_limits", "remove a vhost's limits", ask([&options] {
                  return json{{"command", "clear_vhost_limits"}, {"vhost", options.vhost}};
                })));
  user_argument(verb("set_user_limits", "set limits of an account; others that it has stay", ask([&options, limits] {
                       return json{{"command", "set_user_limits"}, {"user", options.user}, {"limits", limits()}};
                     })))
      ->add_option("definition", options.definition, "{\"max-connections\": N, \"max-channels\": N}")
      ->required();
  user_argument(verb("clear_user_limits", "remove a limit of an account, or all", ask([&options] {
                       return json{{"command", "clear_user_limits"}, {"user", options.user}, {"limit", options.name}};
                     })))
      ->add_option("limit", options.name, "max-connections, max-channels, or all")
      ->required();

  const auto policy_verbs = [&](const char* set, const char* set_help, const char* clear, const char* clear_help) {
    CLI::App* set_policy =
        in_vhost(verb(set, set_help, ask([&options, set] {
                        const json definition = json::parse(options.definition, nullptr, false);
                        if (!definition.is_object())
                          throw Failure{exit_usage, "a definition is a JSON object, as {\"max-length\": 100}"};
                        return json{{"command", set},
                                    {"vhost", options.vhost},
                                    {"name", options.name},
                                    {"pattern", options.pattern},
                                    {"definition", definition},
                                    {"priority", options.priority},
                                    {"apply-to", options.apply_to}};
                      })));
    set_policy->add_option("name", options.name, "the policy's name")->required();
    set_policy->add_option("pattern", options.pattern, "regular expression: which names")->required();
    set_policy->add_option("definition", options.definition, "{\"max-length\": N, ...}")->required();
    set_policy->add_option("--priority", options.priority, "of those that match, the highest counts")
        ->capture_default_str();
    set_policy->add_option("--apply-to", options.apply_to, "queues classic_queues quorum_queues streams exchanges all")
        ->capture_default_str();
    in_vhost(verb(clear, clear_help, ask([&options, clear] {
                    return json{{"command", clear}, {"vhost", options.vhost}, {"name", options.name}};
                  })))
        ->add_option("name", options.name, "the policy's name")
        ->required();
  };
  policy_verbs("set_policy", "give settings to queues and exchanges by their names", "clear_policy", "remove a policy");
  policy_verbs("set_operator_policy", "bound what queues may have, whatever users want", "clear_operator_policy",
               "remove an operators' policy");

  CLI::App* close =
      verb("close_connection", "close a client's connection", ask([&options] {
             return json{{"command", "close_connection"}, {"pid", options.name}, {"explanation", options.explanation}};
           }));
  close->add_option("pid", options.name, "column pid of list_connections")->required();
  close->add_option("explanation", options.explanation, "what the client is told")->required();
  CLI::App* delete_queue = in_vhost(verb("delete_queue", "remove a queue and its messages", ask([&options] {
                                           return json{{"command", "delete_queue"},
                                                       {"vhost", options.vhost},
                                                       {"queue", options.name},
                                                       {"if_empty", options.if_empty},
                                                       {"if_unused", options.if_unused}};
                                         })));
  delete_queue->add_option("queue", options.name, "its name")->required();
  delete_queue->add_flag("-e,--if-empty", options.if_empty, "only if it holds no ready messages");
  delete_queue->add_flag("-u,--if-unused", options.if_unused, "only if it has no consumers");
  in_vhost(verb("purge_queue", "remove a queue's ready messages", ask([&options] {
                  return json{{"command", "purge_queue"}, {"vhost", options.vhost}, {"queue", options.name}};
                })))
      ->add_option("queue", options.name, "its name")
      ->required();

  const auto definitions = [&](CLI::App* command, const char* file) {
    command->add_option("file", options.file, file)->required();
    command->add_option("-p,--vhost", options.only_vhost,
                        "policies and topology of this virtual host alone, as files of one virtual host have them");
  };
  definitions(verb("export_definitions", "write users, vhosts, permissions and topology as RabbitMQ's JSON",
                   [&options](Broker& broker) { export_definitions(broker, options); }),
              "where to; - is standard output");
  definitions(
      verb("import_definitions", "read them", [&options](Broker& broker) { import_definitions(broker, options); }),
      "where from; - is standard input");

  verb("log_level", "show or set what the broker logs", ask([&options] {
         json request = {{"command", "log_level"}};
         if (!options.level.empty()) request["level"] = options.level;
         return request;
       }))
      ->add_option("level", options.level, "trace debug info warning error critical off");
  verb("stop", "end the broker: connections are closed, then the process ends", ask([] {
         return json{{"command", "stop"}};
       }));
}

int run(int argc, char** argv) {
  CLI::App app("Asks and tells a running Talaria broker.", "talariactl");
  Options options;
  Action action;
  app.add_option("--socket", options.socket, "the broker's control socket")
      ->envname("TALARIA_CONTROL")
      ->capture_default_str();
  app.add_flag("--json,-j", options.as_json, "print JSON");
  app.add_flag("-q,--quiet,-s,--silent", options.quiet, "print only what was asked for");
  app.require_subcommand(1);
  app.footer(footer);
  describe(app, options, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // Without a verb the reason is more often a wrong one than none.
    if (app.get_subcommands().empty() && !app.remaining().empty())
      throw Failure{exit_usage, "there is no verb '" + app.remaining().front() + "' (see --help)"};
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  Broker broker(options.socket);
  action(broker);
  if (!std::cout.flush()) throw Failure{exit_internal, "cannot write to standard output"};
  return exit_ok;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Failure& failure) {
    std::cerr << "talariactl: " << safe(failure.message) << "\n";
    return failure.code;
  } catch (const std::exception& error) {
    std::cerr << "talariactl: " << error.what() << "\n";
    return exit_internal;
  }
}
