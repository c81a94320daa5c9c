#include "tests/bench/cores.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/bench/cycles.h"

namespace talaria::bench {
namespace {

constexpr net::Ipv4Address broker_address{0xc6120001};  // 198.18.0.1, of every worker on its own port
constexpr net::Ipv4Address client_address{0xc6120002};
constexpr size_t body_bytes = 100;
constexpr size_t message_memory = size_t{16} << 20;
constexpr size_t fan = 8;
// Deliveries a worker and turn, whatever the placement: a burst of packets or two.
constexpr size_t deliveries_per_turn = 96;
// Under way at most, so that a queue stays short when its consumer waits for TCP.
constexpr uint64_t in_flight = 1000;
constexpr int worker_turns_per_batch = 16;
constexpr int batches = 201;

const Placement placements[] = {
    {.name = "local", .workers_min = 1, .queue = 0, .consumer = 0},
    {.name = "publisher elsewhere", .workers_min = 2, .queue = 1, .consumer = 1},
    {.name = "queue elsewhere", .workers_min = 2, .queue = 1, .consumer = 0},
    {.name = "all apart", .workers_min = 3, .queue = 1, .consumer = 2},
    {.name = "local, acks, confirms", .workers_min = 1, .queue = 0, .consumer = 0, .acknowledged = true},
    {.name = "queue elsewhere, acks, confirms", .workers_min = 2, .queue = 1, .consumer = 0, .acknowledged = true},
    {.name = "to 8 queues", .workers_min = 1, .queue = 0, .consumer = 0, .fan_out = true},
    {.name = "remembered", .workers_min = 1, .queue = 0, .consumer = 0, .remembered = true},
    {.name = "remembered elsewhere", .workers_min = 2, .queue = 1, .consumer = 1, .remembered = true},
};
constexpr worker::WorkerIndex worker_counts[] = {1, 2, 4, 8};

worker::WorkerConfig worker_config(worker::WorkerIndex index, base::MutableBytes memory) {
  worker::WorkerConfig config;
  config.index = index;
  config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
  config.message_memory = memory;
  config.key = {7, 8};
  return config;
}

bool has_received(const tests::AmqpClient& client, uint32_t method) {
  return std::any_of(client.received.begin(), client.received.end(),
                     [&](const tests::Received& one) { return one.method == method; });
}

}  // namespace

// ---- making it ------------------------------------------------------------------------------------------------------

Cores::Node::Node(worker::WorkerIndex index, worker::Mesh& mesh)
    : memory(message_memory),
      pipe(true),
      clients(pipe.left, client_address),
      worker(worker_config(index, memory), pipe.right, mesh) {}

Cores::Cores(const Placement& placement, worker::WorkerIndex workers, int warm_up)
    : placement_(placement),
      per_turn_(placement.fan_out ? deliveries_per_turn / fan : deliveries_per_turn),
      mesh_(workers),
      control_(mesh_) {
  for (worker::WorkerIndex index = 0; index < workers; index++) nodes_.emplace_back(index, mesh_);
  for (worker::WorkerIndex index = 0; index < workers; index++) add_flow(index);
  CoresSums ignored;
  for (int i = 0; i < 200'000 && !ready(); i++) turn(ignored, false);
  CHECK(ready());
  for (int i = 0; i < warm_up; i++) turn(ignored, true);
}

// Nothing is lost on the way: what was published is delivered in the end.
Cores::~Cores() {
  uint64_t due = 0;
  for (const Flow& flow : flows_) due += flow.published * flow.consumers.size();
  CoresSums ignored;
  for (int i = 0; i < 200'000 && delivered() != due; i++) turn(ignored, false);
  CHECK(delivered() == due);
  for (size_t at = 0; placement_.remembered && at < flows_.size(); at++)
    control_.remove_exchange("orders-" + std::to_string(at));
  // Messages are freed where they were made, and memory outlives all workers.
  for (int i = 0; i < 8; i++) turn(ignored, false);
}

void Cores::add_flow(worker::WorkerIndex at) {
  const worker::WorkerIndex workers = mesh_.workers();
  const auto next = [&](size_t steps) { return static_cast<worker::WorkerIndex>((at + steps) % workers); };
  const tcp::Endpoint broker{broker_address, 5672};
  const std::string name = "orders-" + std::to_string(at);
  Flow& flow = flows_.emplace_back();
  flow.publisher = &nodes_[at].clients.connect(broker, now_);
  flow.publisher->counts_only = true;
  flow.publisher->write_when_open = [confirms = placement_.acknowledged](tests::AmqpClient& client) {
    client.open_channel(1);
    if (confirms) client.send(1, tests::wire::confirm::Select{});
  };
  if (placement_.fan_out) control_.add_exchange(name, broker::ExchangeType::fanout);
  if (placement_.remembered) {
    broker::ExchangeSettings settings;
    settings.history_length = 20;
    control_.add_exchange(name, broker::ExchangeType::fanout,
                          std::make_shared<const broker::ExchangeSettings>(settings), next(placement_.queue));
  }
  for (size_t i = 0; i < (placement_.fan_out ? fan : 1); i++) {
    const std::string queue = placement_.fan_out ? name + "-" + std::to_string(i) : name;
    control_.add_queue(queue, next(placement_.queue + i));
    if (placement_.fan_out || placement_.remembered) control_.bind(name, queue, "");
    tests::AmqpClient& consumer = nodes_[next(placement_.consumer + i)].clients.connect(broker, now_);
    consumer.counts_only = true;
    consumer.write_when_open = [queue, acknowledges = placement_.acknowledged](tests::AmqpClient& client) {
      client.open_channel(1);
      if (acknowledges) client.send(1, tests::wire::basic::Qos{.prefetch_count = 4000});
      client.consume(1, queue, "amq.ctag-0123456789abcdefghijkl", !acknowledges);
    };
    flow.consumers.push_back(&consumer);
  }
  flow.acknowledged.resize(flow.consumers.size(), 0);
  const std::vector<uint8_t> body(body_bytes, 'x');
  const auto one =
      tests::AmqpClient::publish_frames(1, placement_.fan_out || placement_.remembered ? name : "", name, body);
  for (size_t i = 0; i < per_turn_; i++) flow.frames.insert(flow.frames.end(), one.begin(), one.end());
}

bool Cores::ready() const {
  return std::all_of(flows_.begin(), flows_.end(), [](const Flow& flow) {
    return has_received(*flow.publisher, tests::wire::channel::OpenOk::id) &&
           std::all_of(flow.consumers.begin(), flow.consumers.end(), [](const tests::AmqpClient* consumer) {
             return has_received(*consumer, tests::wire::basic::ConsumeOk::id);
           });
  });
}

// ---- turns ----------------------------------------------------------------------------------------------------------

uint64_t Cores::Flow::delivered() const {
  uint64_t sum = 0;
  for (const tests::AmqpClient* consumer : consumers) sum += consumer->deliveries;
  return sum;
}

uint64_t Cores::delivered() const {
  uint64_t sum = 0;
  for (const Flow& flow : flows_) sum += flow.delivered();
  return sum;
}

void Cores::clients_act(Flow& flow, bool publishing) {
  for (size_t i = 0; placement_.acknowledged && i < flow.consumers.size(); i++) {
    tests::AmqpClient& consumer = *flow.consumers[i];
    if (consumer.last_delivery_tag == flow.acknowledged[i]) continue;
    flow.acknowledged[i] = consumer.last_delivery_tag;
    consumer.send(1, tests::wire::basic::Ack{.delivery_tag = flow.acknowledged[i], .multiple = true});
  }
  if (!publishing) return;
  uint64_t done = flow.delivered() / flow.consumers.size();
  if (placement_.acknowledged) done = std::min(done, flow.publisher->confirmed);
  const size_t one = flow.frames.size() / per_turn_;
  const size_t count = std::min<size_t>(
      {per_turn_, flow.publisher->send_room() / one, static_cast<size_t>(done + in_flight - flow.published)});
  flow.publisher->write(base::Bytes(flow.frames).first(count * one));
  flow.published += count;
}

void Cores::turn(CoresSums& into, bool publishing) {
  for (Node& node : nodes_) node.clients.receive(now_);
  for (Flow& flow : flows_) clients_act(flow, publishing);
  for (Node& node : nodes_) node.clients.transmit(now_);
  const uint64_t start = cycles_now();
  for (Node& node : nodes_) node.worker.poll(now_);
  into.cycles += cycles_now() - start;
  into.turns++;
  control_.turn();
  now_ += std::chrono::microseconds(50);
}

CoresSums Cores::crossed() const {
  CoresSums sums;
  for (const Node& node : nodes_) {
    const worker::WorkerCounters& counters = node.worker.counters();
    sums.operations += counters.operations_sent.value();
    sums.events += counters.events_sent.value();
    sums.releases += counters.releases_sent.value();
    sums.pushes += counters.peer_pushes.value();
  }
  return sums;
}

CoresSums Cores::measure() {
  while (true) {
    CoresSums sums;
    const CoresSums before = crossed();
    const uint64_t disturbed = preemptions();
    const uint64_t delivered_before = delivered();
    for (int i = 0; i < worker_turns_per_batch; i += mesh_.workers()) turn(sums, true);
    if (preemptions() != disturbed) continue;
    const CoresSums after = crossed();
    sums.messages = delivered() - delivered_before;
    sums.operations = after.operations - before.operations;
    sums.events = after.events - before.events;
    sums.releases = after.releases - before.releases;
    sums.pushes = after.pushes - before.pushes;
    return sums;
  }
}

uint64_t Cores::run(int turns) {
  CoresSums ignored;
  // Windows open only slowly, and a delayed acknowledgement may be waited for first.
  while (delivered() < 10'000 * flows_.size()) turn(ignored, true);
  for (int i = 0; i < turns; i++) turn(ignored, true);
  return delivered();
}

bool run_cores(std::string_view name, int workers, int turns) {
  for (const Placement& placement : placements) {
    if (placement.name != name) continue;
    if (workers < placement.workers_min || workers > broker::workers_max) return false;
    Cores cores(placement, static_cast<worker::WorkerIndex>(workers), 0);
    std::printf("%lu\n", cores.run(turns));
    std::fflush(stdout);
    return true;
  }
  return false;
}

void print_cores() {
  for (const Placement& placement : placements)
    for (const worker::WorkerIndex workers : worker_counts) {
      if (workers < placement.workers_min) continue;
      Cores cores(placement, workers);
      CoresSums all;
      std::vector<double> cycles;
      for (int i = 0; i < batches; i++) {
        const CoresSums batch = cores.measure();
        CHECK(batch.messages != 0);
        cycles.push_back(static_cast<double>(batch.cycles) / static_cast<double>(batch.messages));
        all.turns += batch.turns;
        all.messages += batch.messages;
        all.operations += batch.operations;
        all.events += batch.events;
        all.releases += batch.releases;
        all.pushes += batch.pushes;
      }
      std::sort(cycles.begin(), cycles.end());
      const auto messages = static_cast<double>(all.messages);
      const uint64_t values = all.operations + all.events + all.releases;
      std::printf(
          "{\"placement\": \"%s\", \"workers\": %u, \"cycles\": %.1f, \"cycles_least\": %.1f, \"per_turn\": %.1f, "
          "\"operations\": %.3f, \"events\": %.3f, \"releases\": %.3f, \"values_per_push\": %.1f}\n",
          placement.name, workers, cycles[cycles.size() / 2], cycles.front(),
          messages / static_cast<double>(all.turns) / workers, static_cast<double>(all.operations) / messages,
          static_cast<double>(all.events) / messages, static_cast<double>(all.releases) / messages,
          all.pushes == 0 ? 0 : static_cast<double>(values) / static_cast<double>(all.pushes));
      std::fflush(stdout);
    }
}

}  // namespace talaria::bench
