#include "tests/sim/witness.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "core/amqp091/wire/properties.h"
#include "core/amqp091/wire/table.h"

namespace talaria::sim {

namespace {

namespace wire = amqp091::wire;

constexpr uint16_t only_channel = 1;
constexpr const char* event_queue = "w.events";
constexpr const char* trace_queue = "w.traces";
constexpr std::array verbs{"list_queues", "list_bindings", "list_consumers"};

// The witness's own, what the steward makes for the dead, and what is part of an offence: the model knows nothing of
// them.
bool is_nobodys(const std::string& name) {
  return name == "twice" || name.starts_with("w.") || name.starts_with("x.d.") || name.starts_with("amq.");
}

base::FieldTable headers_of(base::Bytes properties) {
  const auto parsed = wire::parse_properties(properties);
  if (!parsed) fail("witness: properties do not parse");
  auto headers = wire::decode_table(parsed->headers);
  if (!headers) fail("witness: headers do not parse");
  return *std::move(headers);
}

std::string text_in(const base::FieldTable& headers, const char* name) {
  const base::Field* field = base::find(headers, name);
  if (!field || !field->text()) fail("witness: an event without %s", name);
  return *field->text();
}

std::vector<std::string> list_in(const base::FieldTable& headers, const char* name) {
  const base::Field* field = base::find(headers, name);
  const auto* array = field ? std::get_if<base::FieldArray>(&field->value) : nullptr;
  if (!array) fail("witness: a trace without %s", name);
  std::vector<std::string> list;
  for (const base::Field& one : *array) list.push_back(one.text() ? *one.text() : "");
  return list;
}

TextTable texts_of(const base::FieldTable& table) {
  TextTable texts;
  for (const base::FieldEntry& entry : table)
    texts.emplace_back(entry.name, entry.value.text() ? *entry.value.text() : "");
  std::ranges::sort(texts);
  return texts;
}

std::string binding_in(const base::FieldTable& headers) {
  ModelBinding binding;
  binding.source = text_in(headers, "source_name");
  binding.destination = text_in(headers, "destination_name");
  binding.to_queue = text_in(headers, "destination_kind") == "queue";
  binding.key = text_in(headers, "routing_key");
  const base::Field* arguments = base::find(headers, "arguments");
  if (const auto* table = arguments ? std::get_if<base::FieldTable>(&arguments->value) : nullptr)
    binding.arguments = texts_of(*table);
  return is_nobodys(binding.source) || is_nobodys(binding.destination) ? "" : identity_of(binding);
}

// Of what an event tells; "": of nothing that the model knows.
std::string name_in(const std::string& kind, const base::FieldTable& headers) {
  if (kind == "binding") return binding_in(headers);
  if (kind == "connection" || kind == "channel") return text_in(headers, "pid");
  const std::string name = text_in(headers, kind == "consumer" ? "consumer_tag" : "name");
  return is_nobodys(name) ? "" : name;
}

}  // namespace

Witness::Witness(World& world, Random random, Model& model, WitnessPlan plan, Connect connect)
    : LastingClient("witness", world, random, std::move(connect)), model_(model), plan_(plan) {}

// ---- its connection -------------------------------------------------------------------------------------------------

bool Witness::work(Time now) {
  if (!asks() || now < ask_at_) return false;
  ask(now);
  return true;
}

void Witness::begin() {
  prepare();
  next_step();
}

void Witness::close() {
  closing_ = true;
  connection_->close();
}

void Witness::prepare() {
  steps_.push_back({OpenChannel{}, method::channel_open_ok});
  if (plan_.events) {
    steps_.push_back({DeclareQueue{.name = event_queue, .exclusive = true}, method::queue_declare_ok});
    steps_.push_back({BindQueue{event_queue, "amq.talaria.event", "#", {}, false}, method::queue_bind_ok});
    steps_.push_back({Consume{.queue = event_queue, .tag = "w.events", .no_ack = true}, method::basic_consume_ok});
  }
  if (plan_.asks || plan_.traces)
    steps_.push_back({Consume{.queue = reply_queue, .tag = "w.answers", .no_ack = true}, method::basic_consume_ok});
  if (!plan_.traces) return;
  steps_.push_back({DeclareQueue{.name = trace_queue, .exclusive = true}, method::queue_declare_ok});
  steps_.push_back({BindQueue{trace_queue, "amq.talaria.trace", plan_.traced, {}, false}, method::queue_bind_ok});
  steps_.push_back({Consume{.queue = trace_queue, .tag = "w.traces", .no_ack = true}, method::basic_consume_ok});
  steps_.push_back({{}, method::basic_deliver, "trace_on"});
}

void Witness::next_step() {
  ready_ = steps_.empty();
  if (ready_) {
    if (plan_.traces) model_.set_traced();
    return;
  }
  if (steps_.front().verb.empty()) return connection_->send(only_channel, steps_.front().command);
  give_command(only_channel, steps_.front().verb, "{}");
}

void Witness::on_reply(uint16_t, const Reply& reply, base::Bytes properties, base::Bytes body) {
  if (reply.id == method::basic_deliver) {
    if (reply.name == "w.events") return on_event(reply.key, properties);
    if (reply.name == "w.traces") return on_trace(reply.key, properties, body);
    if (ready_) return on_answer(body);
  }
  if (ready_ || reply.id != steps_.front().reply)
    fail("witness: method %u.%u answers nothing: %s", reply.id >> 16, reply.id & 65535, reply.text.c_str());
  steps_.pop_front();
  next_step();
}

// ---- what it hears --------------------------------------------------------------------------------------------------

void Witness::on_event(const std::string& key, base::Bytes properties) {
  const base::FieldTable headers = headers_of(properties);
  if (key == "user.authentication.success") return model_.logged_in();
  if (key == "policy.set") return model_.policy_told(text_in(headers, "name"));
  if (key == "consumer.slow") return model_.found_slow(text_in(headers, "consumer_tag"), text_in(headers, "queue"));
  if (key == "user.created" || key == "user.tags.set") return model_.order_told(key, text_in(headers, "name"));
  if (key == "permission.created") return model_.order_told(key, text_in(headers, "user"));
  const size_t dot = key.find('.');
  const std::string kind = key.substr(0, dot), what = key.substr(dot + 1);
  if (what != "created" && what != "deleted" && what != "closed") fail("witness: an event of '%s'", key.c_str());
  const std::string name = name_in(kind, headers);
  world_.trace("witness: %s %s", key.c_str(), name.c_str());
  if (name.empty() || plan_.events_lost() != 0) return;
  if (what == "created")
    model_.began_to_be(kind, name);
  else
    model_.ended_to_be(kind, name);
}

// Of what the model knows nothing of there are traces, too.
void Witness::on_trace(const std::string& key, base::Bytes properties, base::Bytes body) {
  const base::FieldTable headers = headers_of(properties);
  const base::Field* inner = base::find(headers, "properties");
  const auto* table = inner ? std::get_if<base::FieldTable>(&inner->value) : nullptr;
  const base::Field* id = table ? base::find(*table, "message_id") : nullptr;
  const size_t dot = key.find('.');
  const std::string what = key.substr(0, dot), where = key.substr(dot + 1);
  world_.trace("witness: trace %s of %s", key.c_str(), id ? id->text()->c_str() : "nothing");
  if (!id || plan_.traces_lost() != 0) return;
  Model::Traced traced;
  traced.id = *id->text();
  traced.exchange = text_in(headers, "exchange_name");
  traced.keys = list_in(headers, "routing_keys");
  traced.body.assign(body.begin(), body.end());
  if (what == "publish") {
    if (where != traced.exchange)
      fail("witness: a trace of '%s' with the key %s", traced.exchange.c_str(), key.c_str());
    traced.routed = list_in(headers, "routed_queues");
    return model_.published_by_trace(traced);
  }
  if (what != "deliver") fail("witness: a trace with the key %s", key.c_str());
  traced.queue = where;
  const base::Field* redelivered = base::find(headers, "redelivered");
  if (!redelivered) fail("witness: a trace of a delivery does not tell whether it is the first");
  traced.redelivered = redelivered->integer() != 0;
  model_.delivered_by_trace(traced);
}

std::string Witness::describe() const {
  if (plan_.asks && (last_questions_ != 0 || asking_)) return "the witness has not asked its last question";
  if (plan_.traces && plan_.traces_lost() == 0)
    if (const std::string untraced = model_.untraced(); !untraced.empty()) return "there is no trace of " + untraced;
  if (!plan_.events || plan_.events_lost() != 0) return "";
  // The steward's, and its own, which nobody heard of.
  const std::string untold = model_.untold(1);
  return untold.empty() ? "" : "no event tells of " + untold;
}

// ---- what it asks ---------------------------------------------------------------------------------------------------

void Witness::ask(Time now) {
  asking_ = true;
  asked_ = now;
  question_ = last_questions_ > 0 ? static_cast<size_t>(--last_questions_) : random_.below(questions_max);
  give_command(only_channel, verbs[question_], "{}");
}

void Witness::on_answer(base::Bytes body) {
  const auto answer = nlohmann::json::parse(base::as_text(body), nullptr, false);
  if (!asking_ || !answer.is_object() || !answer.value("ok", false))
    fail("witness: it was answered %s", std::string(base::as_text(body)).c_str());
  world_.trace("witness: %s has %zu rows", verbs[question_], answer["result"].size());
  asking_ = false;
  ask_at_ = world_.now() + random_.between(1ms, plan_.ask_every_max);
  switch (question_) {
    case 0: return on_queues(answer["result"]);
    case 1: return on_bindings(answer["result"]);
    default: return on_consumers(answer["result"]);
  }
}

void Witness::on_queues(const nlohmann::json& rows) const {
  std::map<std::string, uint32_t> ready;
  for (const auto& row : rows)
    if (const std::string name = row.at("name"); !is_nobodys(name)) ready[name] = row.at("messages_ready");
  model_.listed_queues(ready, asked_);
}

void Witness::on_bindings(const nlohmann::json& rows) const {
  std::set<std::string> identities;
  for (const auto& row : rows) {
    ModelBinding binding;
    binding.source = row.at("source_name");
    binding.destination = row.at("destination_name");
    if (binding.source.empty() || is_nobodys(binding.source) || is_nobodys(binding.destination)) continue;
    binding.to_queue = row.at("destination_kind") == "queue";
    binding.key = row.at("routing_key");
    for (const auto& [name, value] : row.at("arguments").items()) binding.arguments.emplace_back(name, value);
    if (!identities.insert(identity_of(binding)).second)
      fail("a list of bindings has '%s' twice", identity_of(binding).c_str());
  }
  model_.listed_bindings(identities, asked_);
}

void Witness::on_consumers(const nlohmann::json& rows) const {
  std::map<std::string, std::string> queues_by_tag;
  for (const auto& row : rows) {
    const std::string tag = row.at("consumer_tag");
    if (is_nobodys(tag)) continue;
    if (!queues_by_tag.emplace(tag, row.at("queue_name")).second)
      fail("a list of consumers has '%s' twice", tag.c_str());
  }
  model_.listed_consumers(queues_by_tag, asked_);
}

}  // namespace talaria::sim
