#include "control/commands.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "control/arguments.h"
#include "control/base64.h"
#include "control/definitions.h"
#include "control/field_json.h"
#include "control/listings.h"
#include "control/verbs.h"

namespace talaria::control {
namespace {

using nlohmann::json;

// Why a verb was not done; thrown only within this file.
struct Failure {
  std::string error;
  std::string message;
};

const char* fault_name(Fault fault) {
  switch (fault) {
    case Fault::bad_argument: return "bad_argument";
    case Fault::not_found: return "not_found";
    case Fault::no_such_user: return "no_such_user";
    case Fault::no_such_vhost: return "no_such_vhost";
    case Fault::already_exists: return "already_exists";
    case Fault::in_use: return "in_use";
    case Fault::not_empty: return "not_empty";
    case Fault::store_failed: return "store_failed";
  }
  return "bad_argument";
}

constexpr char too_deep[] = "the request is nested more than 64 deep";
static_assert(json_depth_max == 64);

// What is no UTF-8 (names clients made) is shown with replacement characters.
std::string line_of(const json& reply) { return reply.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string failure_line(const std::string& error, const std::string& message) {
  return line_of({{"ok", false}, {"error", error}, {"message", message}});
}

std::string success_line(const json& result) {
  std::string line = line_of({{"ok", true}, {"result", result}});
  return line.size() > Commands::reply_bytes_max ? Commands::too_large("64 MiB") : line;
}

template <class T>
T argument(const json& arguments, const char* name, std::optional<T> otherwise, const char* kind) {
  auto found = arguments.find(name);
  if (found == arguments.end() || found->is_null()) {
    if (otherwise) return *std::move(otherwise);
    throw Failure{"bad_argument", std::string("'") + name + "' is missing"};
  }
  try {
    return found->get<T>();
  } catch (const json::exception&) {
    throw Failure{"bad_argument", std::string("'") + name + "' is no " + kind};
  }
}

std::string text(const json& arguments, const char* name, std::optional<std::string> otherwise = std::nullopt) {
  return argument<std::string>(arguments, name, std::move(otherwise), "text");
}
bool flag(const json& arguments, const char* name) { return argument<bool>(arguments, name, false, "boolean"); }
std::vector<std::string> texts(const json& arguments, const char* name) {
  return argument<std::vector<std::string>>(arguments, name, std::vector<std::string>{}, "list of texts");
}

OperatorLimits limits(const json& arguments) {
  return argument<OperatorLimits>(arguments, "limits", std::nullopt, "object of whole numbers");
}

// A vhost may be given the type that its queues have anyway.
void check_default_queue_type(const json& arguments) {
  const std::string type = text(arguments, "default_queue_type", std::string(queue_type));
  if (type == queue_type || type.empty()) return;
  throw Failure{"bad_argument", "default queue type '" + type + "' is not supported: queues are of type '" +
                                    std::string(queue_type) + "'"};
}

PolicyRow policy_row(const std::string& vhost, const json& arguments, bool of_operators) {
  PolicyRow row;
  row.vhost = vhost;
  row.name = text(arguments, "name");
  row.of_operators = of_operators;
  row.pattern = text(arguments, "pattern");
  row.apply_to = text(arguments, "apply-to", "all");
  row.priority = argument<int64_t>(arguments, "priority", 0, "number");
  const auto definition = arguments.find("definition");
  if (definition == arguments.end() || !definition->is_object())
    throw Failure{"bad_argument", "'definition' is missing, or no object"};
  try {
    row.definition = from_plain_json(*definition);
  } catch (const FieldJsonError& error) {
    throw Failure{"bad_argument", std::string("'definition': ") + error.what()};
  }
  return row;
}

// Only the columns that were asked for, if any were. One that this verb does not have is refused, rows or none.
json chosen(const std::string& verb, const json& arguments, json rows) {
  const std::vector<std::string> columns = texts(arguments, "columns");
  if (columns.empty()) return rows;
  const std::span<const std::string_view> known = columns_of(verb);
  for (const std::string& column : columns)
    if (std::find(known.begin(), known.end(), column) == known.end())
      throw Failure{"bad_argument", "there is no column '" + column + "'"};
  for (json& row : rows) {
    json kept = json::object();
    for (const std::string& column : columns) kept[column] = row[column];
    row = std::move(kept);
  }
  return rows;
}

json counts_of(const std::vector<NamedCount>& counts) {
  json out = json::object();
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

template <class Sum>
json percentiles_of(const char* what, const Sum& sum) {
  auto microseconds = [&](double share) { return static_cast<double>(sum.percentile(share)) / 1000.0; };
  return {{what, sum.total()},
          {"p50_us", microseconds(0.5)},
          {"p90_us", microseconds(0.9)},
          {"p99_us", microseconds(0.99)},
          {"p99.9_us", microseconds(0.999)},
          {"p99.99_us", microseconds(0.9999)},
          {"max_us", static_cast<double>(sum.max()) / 1000.0}};
}

}  // namespace

Commands::Commands(Plane& plane, const Statistics& statistics, std::string version, FrameBuffers* frames)
    : plane_(plane), statistics_(statistics), version_(std::move(version)), capture_(plane, frames) {}

void Commands::poll(base::Time now) {
  capture_.poll(now);
  if (!started_) started_ = now;
  rates_.poll(statistics_, now);
}

std::string Commands::too_large(const char* most) {
  return failure_line("too_large",
                      std::string("the answer is greater than ") + most + ": ask for fewer columns or one vhost");
}

std::optional<std::string> Commands::start(std::string_view line, Pending& pending) {
  pending = {};
  if (nested_too_deep(line)) return failure_line("bad_request", too_deep);
  const json request = json::parse(line, nullptr, false);
  if (!request.is_object() || !request.contains("command") || !request["command"].is_string())
    return failure_line("bad_request", "a request is a JSON object with a \"command\"");
  return carry_out(request, pending);
}

std::optional<std::string> Commands::start_for(const std::string& user, const std::string& vhost,
                                               const std::string& verb, std::string_view arguments, Pending& pending) {
  pending = {};
  if (nested_too_deep(arguments)) return failure_line("bad_request", too_deep);
  json request = arguments.empty() ? json::object() : json::parse(arguments, nullptr, false);
  if (!request.is_object())
    return failure_line("bad_request", "the body is a JSON object of the command's arguments, or empty");
  request["command"] = verb;
  const Verb* known = find_verb(verb);
  if (!known) return failure_line("unknown_command", "there is no command '" + verb + "'");
  if (known->in_vhost && !request.contains("vhost")) request["vhost"] = vhost;
  const User* account = plane_.catalog().user(user);
  if (!account || !may_give(*account, *known, request)) {
    std::string text = "user '" + user + "' may not give the command '" + verb + "'";
    if (known->in_vhost && request["vhost"].is_string())
      text += " in vhost '" + request["vhost"].get<std::string>() + "'";
    return failure_line("access_refused", text);
  }
  if (known->by_socket_alone)
    return failure_line("access_refused", "the command '" + verb + "' is taken by the control socket alone");
  return carry_out(request, pending);
}

std::optional<std::string> Commands::carry_out(const json& request, Pending& pending) {
  try {
    const std::string verb = request["command"].get<std::string>();
    if (!find_verb(verb)) throw Failure{"unknown_command", "there is no command '" + verb + "'"};
    json result = run(verb, request, pending);
    if (pending.ticket == 0) return success_line(result);
    pending.result = std::move(result);
    return finish(pending);
  } catch (const Failure& failure) {
    return failure_line(failure.error, failure.message);
  } catch (const DefinitionsError& error) {
    return failure_line("bad_argument", error.what());
  }
}

std::optional<std::string> Commands::finish(Pending& pending) {
  std::optional<OperatorResult> result = plane_.take_result(pending.ticket);
  if (!result) return std::nullopt;
  if (!*result) return failure_line(fault_name(result->error().fault), result->error().message);
  if (pending.count_is_result) return success_line({{"count", **result}});
  return success_line(pending.result);
}

const Vhost& Commands::vhost(const Arguments& arguments) const {
  std::string name = text(arguments, "vhost", "/");
  const Vhost* found = plane_.catalog().vhost(name);
  if (!found) throw Failure{"no_such_vhost", "virtual host '" + name + "' does not exist"};
  return *found;
}

json Commands::run(const std::string& verb, const Arguments& arguments, Pending& pending) {
  const Catalog& catalog = plane_.catalog();
  if (verb == "status") return status();
  if (!columns_of(verb).empty()) return chosen(verb, arguments, list(verb, arguments));
  const bool of_one_vhost = arguments.contains("vhost");
  if (verb == "export_definitions")
    return of_one_vhost ? export_definitions(catalog, version_, vhost(arguments).name)
                        : export_definitions(catalog, version_);
  if (verb == "ports") return ports();
  if (verb == "log_level") return log_level(arguments);
  if (verb == "stop") {
    spdlog::info("an operator asked for the end");
    stop_requested_ = true;
    return json::object();
  }
  if (verb == "import_definitions") {
    std::vector<std::string> report;
    auto definitions = arguments.find("definitions");
    if (definitions == arguments.end()) throw Failure{"bad_argument", "'definitions' is missing"};
    const json wanted = of_one_vhost ? definitions_for(vhost(arguments).name, *definitions, report) : *definitions;
    pending.ticket = plane_.import(parse_definitions(wanted, report), report);
    return {{"report", report}};
  }
  if (verb.starts_with("capture_")) return capture(verb, arguments);
  if (change(verb, arguments, pending)) return json::object();
  throw Failure{"unknown_command", "there is no command '" + verb + "'"};
}

json Commands::list(const std::string& verb, const Arguments& arguments) const {
  const Catalog& catalog = plane_.catalog();
  if (verb == "list_queues") return list_queues(vhost(arguments));
  if (verb == "list_exchanges") return list_exchanges(vhost(arguments));
  if (verb == "list_bindings") return list_bindings(vhost(arguments));
  if (verb == "list_connections") return list_connections(catalog, statistics_, wall_offset_ms());
  if (verb == "list_channels") return list_channels(catalog);
  if (verb == "list_consumers") return list_consumers(catalog, vhost(arguments));
  if (verb == "list_users") return list_users(catalog);
  if (verb == "list_vhosts") return list_vhosts(catalog);
  if (verb == "list_vhost_limits") {
    const std::string name = text(arguments, "vhost", "");
    return list_vhost_limits(catalog, name.empty() ? name : vhost(arguments).name);
  }
  if (verb == "list_user_limits") {
    const std::string name = text(arguments, "user", "");
    if (!name.empty() && !catalog.user(name)) throw Failure{"no_such_user", "user '" + name + "' does not exist"};
    return list_user_limits(catalog, name);
  }
  if (verb == "list_topic_permissions") return list_topic_permissions(catalog, vhost(arguments).name);
  if (verb == "list_user_topic_permissions") {
    const std::string name = text(arguments, "user");
    const User* user = catalog.user(name);
    if (!user) throw Failure{"no_such_user", "user '" + name + "' does not exist"};
    return list_user_topic_permissions(*user);
  }
  if (verb == "list_policies" || verb == "list_operator_policies")
    return list_policies(vhost(arguments), verb == "list_operator_policies");
  if (verb == "list_permissions") return list_permissions(catalog, vhost(arguments).name);
  if (verb == "workers") return workers();
  if (verb == "counters") return counters();
  if (verb == "latency") return latency();
  if (verb == "turns") return turns();
  throw Failure{"unknown_command", "there is no listing '" + verb + "'"};
}

bool Commands::change(const std::string& verb, const Arguments& arguments, Pending& pending) {
  auto given = [&](const char* name) { return text(arguments, name); };
  auto vhost_name = [&] { return text(arguments, "vhost", "/"); };
  if (verb == "add_user") {
    pending.ticket = plane_.add_user(given("user"), given("password"));
  } else if (verb == "delete_user") {
    pending.ticket = plane_.delete_user(given("user"));
  } else if (verb == "change_password") {
    pending.ticket = plane_.change_password(given("user"), given("password"));
  } else if (verb == "set_user_tags") {
    pending.ticket = plane_.set_user_tags(given("user"), texts(arguments, "tags"));
  } else if (verb == "add_vhost") {
    check_default_queue_type(arguments);
    pending.ticket = plane_.add_vhost({given("vhost"), text(arguments, "description", ""), texts(arguments, "tags")});
  } else if (verb == "update_vhost_metadata") {
    check_default_queue_type(arguments);
    pending.ticket = plane_.update_vhost(
        given("vhost"), arguments.contains("description") ? std::optional(given("description")) : std::nullopt,
        arguments.contains("tags") ? std::optional(texts(arguments, "tags")) : std::nullopt);
  } else if (verb == "delete_vhost") {
    pending.ticket = plane_.delete_vhost(given("vhost"));
  } else if (verb == "trace_on" || verb == "trace_off") {
    pending.ticket = plane_.trace(vhost_name(), verb == "trace_on");
  } else if (verb == "set_permissions") {
    pending.ticket =
        plane_.set_permissions({given("user"), vhost_name(), given("configure"), given("write"), given("read")});
  } else if (verb == "clear_permissions") {
    pending.ticket = plane_.clear_permissions(given("user"), vhost_name());
  } else if (verb == "set_topic_permissions") {
    pending.ticket =
        plane_.set_topic_permissions({given("user"), vhost_name(), given("exchange"), given("write"), given("read")});
  } else if (verb == "clear_topic_permissions") {
    const bool all = !arguments.contains("exchange");
    pending.ticket = plane_.clear_topic_permissions(given("user"), vhost_name(),
                                                    all ? std::optional<std::string>() : given("exchange"));
  } else if (verb == "set_vhost_limits") {
    pending.ticket = plane_.set_vhost_limits(vhost_name(), limits(arguments));
  } else if (verb == "clear_vhost_limits") {
    pending.ticket = plane_.set_vhost_limits(vhost_name(), {});
  } else if (verb == "set_user_limits") {
    pending.ticket = plane_.set_user_limits(given("user"), limits(arguments));
  } else if (verb == "clear_user_limits") {
    pending.ticket = plane_.clear_user_limits(given("user"), given("limit"));
  } else if (verb == "set_policy" || verb == "set_operator_policy") {
    pending.ticket = plane_.set_policy(policy_row(vhost_name(), arguments, verb == "set_operator_policy"));
  } else if (verb == "clear_policy" || verb == "clear_operator_policy") {
    pending.ticket = plane_.clear_policy(vhost_name(), given("name"), verb == "clear_operator_policy");
  } else if (verb == "close_connection") {
    broker::SessionAddress address;
    std::string pid = given("pid");
    if (!connection_from_pid(pid, address))
      throw Failure{"bad_argument", "'" + pid + "' names no connection: see column pid of list_connections"};
    pending.ticket = plane_.close_connection(address, text(arguments, "explanation", "closed by an operator"));
  } else if (verb == "delete_queue") {
    pending.ticket =
        plane_.delete_queue(vhost_name(), given("queue"), flag(arguments, "if_unused"), flag(arguments, "if_empty"));
    pending.count_is_result = true;
  } else if (verb == "purge_queue") {
    pending.ticket = plane_.purge_queue(vhost_name(), given("queue"));
    pending.count_is_result = true;
  } else {
    return false;
  }
  return true;
}

int64_t Commands::wall_offset_ms() const {
  using std::chrono::milliseconds;
  auto wall = std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  return (wall - std::chrono::duration_cast<milliseconds>(plane_.now().time_since_epoch())).count();
}

json Commands::status() const {
  const Catalog& catalog = plane_.catalog();
  size_t channels = 0, consumers = 0;
  for (const auto& [address, connection] : catalog.connections()) {
    channels += connection->channels.size();
    for (const auto& [number, channel] : connection->channels) consumers += channel.consumers.size();
  }
  uint64_t ready = 0, unacknowledged = 0;
  for (const auto& [name, vhost] : catalog.vhosts()) {
    for (const auto& [queue_name, queue] : vhost->queues) {
      ready += queue->counters->ready.value();
      unacknowledged += queue->counters->unacknowledged.value();
    }
  }
  const Plane::Counts& counts = plane_.counts();
  auto up = started_ ? std::chrono::duration_cast<std::chrono::seconds>(plane_.now() - *started_).count() : 0;
  return {{"product", "Talaria"},
          {"version", version_},
          {"pid", ::getpid()},
          {"uptime_seconds", up},
          {"workers", plane_.workers()},
          {"vhosts", catalog.vhosts().size()},
          {"users", catalog.users().size()},
          {"exchanges", catalog.exchange_count()},
          {"queues", catalog.queue_count()},
          {"bindings", catalog.binding_count()},
          {"connections", catalog.connections().size()},
          {"channels", channels},
          {"consumers", consumers},
          {"messages_ready", ready},
          {"messages_unacknowledged", unacknowledged},
          {"requests", counts.requests},
          {"commands_in_messages", counts.commands},
          {"requests_refused", counts.refusals},
          {"logins_refused", counts.logins_refused},
          {"stray_reports", counts.strays},
          {"store_failures", counts.store_failures},
          {"queues_moved", counts.moves_made},
          {"moves_refused_off", counts.moves_refused_off},
          {"moves_refused_busy", counts.moves_refused_busy},
          {"moves_refused_too_soon", counts.moves_refused_too_soon},
          {"moves_refused_too_long", counts.moves_refused_too_long},
          {"moves_refused_no_memory", counts.moves_refused_no_memory},
          {"moves_refused_gone", counts.moves_refused_gone},
          {"queues_expired", counts.queues_expired},
          {"operators_dropped", operators_dropped_}};
}

json Commands::workers() const {
  json rows = json::array();
  for (broker::WorkerIndex index = 0; index < statistics_.workers(); index++) {
    WorkerFigures figures = statistics_.worker(index);
    WorkerRates rates = rates_.worker(index);
    rows.push_back({{"worker", index},
                    {"core", figures.core},
                    {"isolated", figures.isolated},
                    {"busy_percent", rates.busy_share * 100.0},
                    {"idle_percent", rates.idle_share * 100.0},
                    {"asleep_percent", rates.asleep_share * 100.0},
                    {"packets_in_rate", rates.packets_in},
                    {"packets_out_rate", rates.packets_out},
                    {"messages_in_rate", rates.messages_in},
                    {"messages_out_rate", rates.messages_out},
                    {"longest_turn_us", static_cast<double>(figures.longest_turn_ns) / 1000.0},
                    {"connections", figures.connections},
                    {"pool_used", figures.pool_used},
                    {"pool_total", figures.pool_total},
                    {"turns_busy", figures.turns_busy},
                    {"turns_idle", figures.turns_idle},
                    {"busy_ns", figures.busy_ns},
                    {"asleep_ns", figures.asleep_ns},
                    {"packets_in", figures.packets_in},
                    {"packets_out", figures.packets_out},
                    {"messages_in", figures.messages_in},
                    {"messages_out", figures.messages_out},
                    {"refusals", counts_of(figures.refusals)}});
  }
  return rows;
}

json Commands::counters() const {
  json rows = json::array();
  for (broker::WorkerIndex index = 0; index < statistics_.workers(); index++)
    for (const LayerCount& each : statistics_.counters(index))
      rows.push_back({{"worker", index}, {"layer", each.layer}, {"counter", each.name}, {"value", each.value}});
  return rows;
}

json Commands::ports() const {
  auto traffic = [](json row, const PortQueueFigures& figures) {
    row["packets_in"] = figures.packets_in;
    row["bytes_in"] = figures.bytes_in;
    row["packets_out"] = figures.packets_out;
    row["bytes_out"] = figures.bytes_out;
    return row;
  };
  json rows = json::array();
  for (const PortFigures& port : statistics_.ports()) {
    json queues = json::array();
    for (const PortQueueFigures& queue : port.queues) queues.push_back(traffic({{"queue", queues.size()}}, queue));
    json row = {{"port", port.name},
                {"driver", port.driver},
                {"mac", port.mac},
                {"address", port.address},
                {"link", port.link_up ? "up" : "down"},
                {"speed_mbps", port.speed_mbps},
                {"mtu", port.mtu},
                {"numa_node", port.numa_node},
                {"drops", counts_of(port.drops)},
                {"queues", std::move(queues)}};
    rows.push_back(traffic(std::move(row), port.total));
  }
  return rows;
}

json Commands::latency() const {
  json rows = json::array();
  base::HistogramSum all;
  for (broker::WorkerIndex index = 0; index < statistics_.workers(); index++) {
    const base::Histogram* histogram = statistics_.worker(index).message_latency;
    if (!histogram) continue;
    base::HistogramSum one;
    one.add(*histogram);
    all.add(*histogram);
    json row = percentiles_of("messages", one);
    row["worker"] = std::to_string(index);
    rows.push_back(std::move(row));
  }
  json row = percentiles_of("messages", all);
  row["worker"] = "all";
  rows.push_back(std::move(row));
  return rows;
}

json Commands::turns() const {
  json rows = json::array();
  for (broker::WorkerIndex index = 0; index < statistics_.workers(); index++) {
    const base::FineHistogram* histogram = statistics_.worker(index).turn_lengths;
    if (!histogram) continue;
    base::FineHistogramSum sum;
    sum.add(*histogram);
    json row = percentiles_of("turns", sum);
    row["worker"] = index;
    row["over_10us"] = sum.count_above(10'000);
    row["over_100us"] = sum.count_above(100'000);
    row["over_1ms"] = sum.count_above(1'000'000);
    row["over_10ms"] = sum.count_above(10'000'000);
    rows.push_back(std::move(row));
  }
  return rows;
}

json Commands::capture(const std::string& verb, const Arguments& arguments) {
  auto or_fail = [](auto result) {
    if (!result) throw Failure{fault_name(result.error().fault), result.error().message};
    return result;
  };
  auto number = [&] { return argument<uint64_t>(arguments, "capture", std::nullopt, "number"); };
  if (verb == "capture_start")
    return {{"capture",
             *or_fail(capture_.start({.port = text(arguments, "port", ""),
                                      .filter = text(arguments, "filter", ""),
                                      .snap_length = argument<uint32_t>(arguments, "snap_length", 0, "number")}))}};
  if (verb == "capture_read") {
    const Capture::Part part = *or_fail(capture_.read(number()));
    return {{"data", to_base64(base::as_bytes(part.bytes))},
            {"frames", part.frames},
            {"dropped", part.dropped},
            {"done", part.done}};
  }
  if (verb == "capture_stop") {
    or_fail(capture_.stop(number()));
    return json::object();
  }
  throw Failure{"unknown_command", "there is no command '" + verb + "'"};
}

json Commands::log_level(const Arguments& arguments) {
  std::string wanted = text(arguments, "level", "");
  if (!wanted.empty()) {
    spdlog::level::level_enum level = spdlog::level::from_str(wanted);
    // from_str says "off" to everything it does not know.
    if (level == spdlog::level::off && wanted != "off")
      throw Failure{"bad_argument", "a level is one of trace debug info warning error critical off"};
    spdlog::set_level(level);
  }
  auto name = spdlog::level::to_string_view(spdlog::get_level());
  return {{"level", std::string(name.data(), name.size())}};
}

}  // namespace talaria::control
