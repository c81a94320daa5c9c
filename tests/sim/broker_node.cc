#include "tests/sim/broker_node.h"

#include <algorithm>

#include "control/mesh_link.h"

namespace talaria::sim {

struct BrokerNode::WorkerActor final : Actor {
  WorkerActor(const worker::WorkerConfig& config, net::Device& device, worker::Mesh& mesh)
      : label("worker " + std::to_string(config.index)),
        worker(std::make_unique<worker::Worker>(config, device, mesh)) {}

  std::string_view name() const override { return label; }
  bool poll(Time now) override { return worker->poll(now); }
  Time next_deadline() const override { return worker->next_deadline(); }
  void check() const override { worker->check_invariants(); }

  std::string label;
  std::unique_ptr<worker::Worker> worker;
};

struct BrokerNode::PlaneActor final : Actor {
  PlaneActor(control::Plane& controlled, control::MessageDoor& messages) : plane(controlled), door(messages) {}

  std::string_view name() const override { return "control plane"; }
  bool poll(Time now) override {
    const bool moved = plane.poll(now);
    return door.poll(now) || moved;
  }
  Time next_deadline() const override { return base::never; }

  control::Plane& plane;
  control::MessageDoor& door;
};

// Moves a queue to some worker, now and then, and mostly just when something is under way to its home.
struct BrokerNode::Mover final : Actor {
  Mover(control::Plane& moved, worker::Mesh& mesh_, Duration every_, Random random_)
      : plane(moved), mesh(mesh_), every(every_), random(random_) {}

  std::string_view name() const override { return "mover"; }
  bool poll(Time now) override {
    if (now < next || plane.moving()) return false;
    std::vector<broker::QueueId> queues;
    for (const auto& [vhost_name, vhost] : plane.catalog().vhosts())
      for (const auto& [queue_name, queue] : vhost->queues)
        if (!stays(*queue) && (!waits || is_asked(queue->home))) queues.push_back(queue->id);
    if (queues.empty()) {
      if (!waits) next = now + random.between(1ns, 2 * every);
      return false;
    }
    plane.move_queue(queues[random.below(queues.size())],
                     static_cast<broker::WorkerIndex>(random.below(plane.workers())));
    next = now + random.between(1ns, 2 * every);
    waits = random.chance(0.8);
    return true;
  }
  Time next_deadline() const override { return waits || plane.moving() ? base::never : next; }

  // What such a queue knows of values and groups stays where it is: no worker wishes that it moves.
  static bool stays(const control::Queue& queue) {
    for (const char* argument : {"x-last-value-key", "x-message-deduplication", "x-group-key"})
      if (base::find(queue.arguments, argument)) return true;
    return false;
  }

  bool is_asked(broker::WorkerIndex home) const {
    for (broker::WorkerIndex from = 0; from < mesh.workers(); from++)
      if (from != home && mesh.lane(from, home).operations.waiting() != 0) return true;
    return false;
  }

  control::Plane& plane;
  worker::Mesh& mesh;
  Duration every;
  Random random;
  Time next{};
  bool waits = true;  // for something to be under way
};

BrokerNode::Pages::Pages(size_t bytes)
    : at_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)), bytes_(bytes) {
  CHECK(at_ != MAP_FAILED);
}
BrokerNode::Pages::~Pages() { munmap(at_, bytes_); }

BrokerNode::BrokerNode(World& world, Network& network, const BrokerConfig& config, Plant plant)
    : nic_(world, network, config.nic, config.up, config.down), mesh_(config.workers) {
  CHECK(config.nic.queues == config.workers);
  Random keys = world.random("broker keys");
  const base::HashKey key{keys.u64(), keys.u64()};
  for (broker::WorkerIndex index = 0; index < config.workers; index++) {
    memory_.push_back(std::make_unique<Pages>(config.message_bytes));
    worker::WorkerConfig mine;
    mine.index = index;
    mine.hosts[0].addresses = {{net::Ipv4Address{config.address}, 16}};
    mine.hosts[0].announce = index == 0;
    mine.tcp = config.tcp;
    mine.session = config.session;
    mine.message_memory = memory_.back()->bytes();
    mine.key = key;
    workers_.push_back(std::make_unique<WorkerActor>(mine, nic_.device(index), mesh_));
    world.add(*workers_.back(), config.pace);
  }
  for (broker::WorkerIndex index = 0; index < config.workers; index++) {
    const bool sabotaged = plant == Plant::early_answer && index + 1 == config.workers;
    if (plant == Plant::lost_event && index == 0)
      links_.push_back(std::make_unique<ForgetfulLink>(mesh_.control(index), world.random("plant"), forgot_));
    else if (plant == Plant::unrevoked)
      links_.push_back(std::make_unique<LenientLink>(mesh_.control(index)));
    else if (sabotaged)
      links_.push_back(std::make_unique<HastyLink>(world, mesh_.control(index), hasty_));
    else
      links_.push_back(std::make_unique<control::MeshLink>(mesh_.control(index)));
  }
  if (spoils_mailboxes(plant)) {
    saboteur_ = std::make_unique<Saboteur>(mesh_, plant, world.random("plant"));
    world.add(*saboteur_);
  }
  std::vector<control::WorkerLink*> links;
  for (const auto& link : links_) links.push_back(link.get());
  auto random = std::make_shared<Random>(world.random("control plane"));
  control::PlaneOptions options;
  options.demo_account = true;
  options.management = true;
  options.random = [random](std::span<uint8_t> out) {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random->u64());
  };
  plane_ = std::make_unique<control::Plane>(store_, links, options);
  commands_ = std::make_unique<control::Commands>(*plane_, statistics_, "sim");
  control::Commands::Pending pending;
  CHECK(commands_->start(R"({"command":"log_level","level":"off"})", pending));
  door_ = std::make_unique<control::MessageDoor>(*plane_, *commands_);
  plane_actor_ = std::make_unique<PlaneActor>(*plane_, *door_);
  world.add(*plane_actor_);
  if (config.move_every != Duration{} && config.workers > 1) {
    mover_ = std::make_unique<Mover>(*plane_, mesh_, config.move_every, world.random("mover"));
    world.add(*mover_);
  }
}

void BrokerNode::stop_moves() {
  if (!mover_) return;
  mover_->next = base::never;
  mover_->waits = true;
}

// The queues' counters are the plane's, and are written to the very end.
BrokerNode::~BrokerNode() { workers_.clear(); }

uint64_t BrokerNode::messages() const {
  uint64_t sum = 0;
  for (const auto& actor : workers_) sum += actor->worker->pool().messages();
  return sum;
}

uint64_t BrokerNode::announcements_lost() const {
  uint64_t sum = 0;
  for (const auto& actor : workers_) sum += actor->worker->sessions().counters().announcements_lost.value();
  return sum;
}

uint64_t BrokerNode::ready(const std::string& queue) const {
  const auto& queues = plane_->catalog().vhosts().at("/")->queues;
  const auto found = queues.find(queue);
  return found == queues.end() ? 0 : found->second->counters->ready.value();
}

uint64_t BrokerNode::traces_lost() const {
  uint64_t sum = 0;
  for (const auto& actor : workers_) sum += actor->worker->sessions().counters().traces_lost.value();
  return sum;
}

uint64_t BrokerNode::replies_dropped() const {
  uint64_t sum = 0;
  for (const auto& actor : workers_) sum += actor->worker->sessions().counters().replies_dropped.value();
  return sum;
}

uint64_t BrokerNode::sessions() const {
  uint64_t sum = 0;
  for (const auto& actor : workers_) sum += actor->worker->sessions().session_count();
  return sum;
}

void BrokerNode::check_all_home() const {
  for (const auto& actor : workers_) {
    const worker::Worker& worker = *actor->worker;
    const auto expect_zero = [&actor](const char* what, uint64_t value) {
      if (value != 0) fail("%s: %lu %s left at the end", actor->label.c_str(), value, what);
    };
    expect_zero("connections", worker.stack().connection_count());
    expect_zero("half-open entries", worker.stack().counters().half_open_entries.value());
    expect_zero("TIME_WAIT entries", worker.stack().counters().time_wait_entries.value());
    expect_zero("send chunks", worker.stack().counters().send_chunks_used.value());
    expect_zero("shared slices", worker.stack().counters().shared_slices_used.value());
    expect_zero("receive chunks", worker.stack().counters().receive_chunks_used.value());
    expect_zero("sessions", worker.sessions().session_count());
    expect_zero("messages", worker.pool().messages());
    expect_zero("packets held by the host", worker.host().packets_held());
    if (worker.next_deadline() <= Time{}) fail("%s still has something to do", actor->label.c_str());
  }
  if (nic_.packets_out() != 0) fail("the broker's card misses %zu packets", nic_.packets_out());
}

}  // namespace talaria::sim
