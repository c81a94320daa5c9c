// Publishing through an exchange that remembers, whose home is the publishers' worker or another one: two workers, each
// on a processor of its own, with their clients. What clients do takes time of the same processors.
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/worker/worker.h"
#include "tests/bench/cycles.h"
#include "tests/support/amqp_client.h"
#include "tests/support/pipe_device.h"
#include "tests/support/scripted_control.h"

namespace talaria::bench {
namespace {

using namespace std::chrono_literals;
using tests::AmqpClient;
namespace wire = tests::wire;

constexpr net::Ipv4Address broker_address{0xc6120001};
constexpr net::Ipv4Address client_address{0xc6120002};
constexpr size_t message_memory = size_t{16} << 20;
constexpr size_t body_bytes = 100;
constexpr size_t per_turn = 96;
constexpr uint64_t in_flight = 1000;  // not confirmed, of a publisher
constexpr auto window = 300ms;
constexpr size_t windows = 7;

enum class Way : uint8_t {
  plain_here,       // to a queue on the publishers' worker
  plain_elsewhere,  // to one on the other
  here,             // through an exchange that remembers, its home and the queue here
  elsewhere,        // there
  in_turn,          // likewise, every second one past it, to a queue here
};

base::Time now() { return base::Time{std::chrono::steady_clock::now().time_since_epoch()}; }

struct Node {
  Node(worker::WorkerIndex index, worker::Mesh& mesh)
      : memory(message_memory), clients(pipe.left, client_address), worker(config(index, memory), pipe.right, mesh) {}
  static worker::WorkerConfig config(worker::WorkerIndex index, base::MutableBytes memory) {
    worker::WorkerConfig config;
    config.index = index;
    config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
    config.message_memory = memory;
    config.key = {7, 8};
    return config;
  }

  std::vector<uint8_t> memory;
  tests::Pipe pipe{true};
  tests::ClientHost clients;
  worker::Worker worker;
};

class Entrusting {
 public:
  Entrusting(Way way, size_t publishers) {
    const worker::WorkerIndex home = way == Way::plain_here || way == Way::here ? 0 : 1;
    broker::ExchangeSettings settings;
    settings.history_length = 20;
    control_.add_exchange("chat", broker::ExchangeType::fanout,
                          std::make_shared<const broker::ExchangeSettings>(settings), home);
    control_.add_queue("q", home);
    control_.add_queue("r", 0);
    control_.bind("chat", "q", "");
    for (worker::WorkerIndex index = 0; index < 2; index++) nodes_[index] = std::make_unique<Node>(index, mesh_);
    const std::vector<uint8_t> body(body_bytes, 'x');
    for (size_t i = 0; i < per_turn; i++) {
      const bool past = way == Way::plain_here || way == Way::plain_elsewhere || (way == Way::in_turn && i % 2 != 0);
      const char* queue = way == Way::in_turn ? "r" : "q";
      const auto one = AmqpClient::publish_frames(1, past ? "" : "chat", queue, body);
      frames_.insert(frames_.end(), one.begin(), one.end());
      ends_.push_back(frames_.size());
    }
    const tcp::Endpoint broker{broker_address, 5672};
    for (const auto& [queue, at] : {std::pair{"q", home}, std::pair{"r", worker::WorkerIndex{0}}}) {
      AmqpClient& consumer = nodes_[at]->clients.connect(broker, now());
      consumer.counts_only = true;
      consumer.write_when_open = [queue = queue](AmqpClient& client) {
        client.open_channel(1);
        client.consume(1, queue, "c", true);
      };
      consumers_.push_back(&consumer);
    }
    for (size_t i = 0; i < publishers; i++) {
      AmqpClient& publisher = nodes_[0]->clients.connect(broker, now());
      publisher.counts_only = true;
      publisher.write_when_open = [](AmqpClient& client) {
        client.open_channel(1);
        client.send(1, wire::confirm::Select{});
      };
      publishers_.push_back({&publisher});
    }
    for (bool all = false; !all;) {
      go_on(1ms, false);
      all = std::ranges::all_of(consumers_, [](AmqpClient* one) { return has<wire::basic::ConsumeOk>(*one); }) &&
            std::ranges::all_of(publishers_, [](auto& one) { return has<wire::confirm::SelectOk>(*one.client); });
    }
    go_on(200ms, true);  // may they publish?
  }
  ~Entrusting() {
    go_on(200ms, false);
    for (const Publisher& publisher : publishers_) CHECK(publisher.client->confirmed == publisher.published);
    control_.remove_exchange("chat");
    go_on(200ms, false);
    for (auto& node : nodes_) CHECK(node->worker.pool().messages() == 0);
  }

  // Messages confirmed in a second, of each window.
  std::vector<double> measure() {
    std::atomic<bool> stop = false;
    std::thread other([&] {
      stay_on(1);
      while (!stop.load(std::memory_order_relaxed)) turn(1, false);
    });
    stay_on(0);
    std::vector<double> rates;
    for (size_t i = 0; i < windows; i++) {
      const base::Time start = now();
      const uint64_t before = confirmed();
      while (now() < start + window) turn(0, true);
      const std::chrono::duration<double> took = now() - start;
      rates.push_back(static_cast<double>(confirmed() - before) / took.count());
    }
    stop = true;
    other.join();
    rates.erase(rates.begin());  // it began with nothing under way
    std::sort(rates.begin(), rates.end());
    return rates;
  }

 private:
  struct Publisher {
    AmqpClient* client = nullptr;
    uint64_t published = 0;
  };

  template <class Method>
  static bool has(const AmqpClient& client) {
    return std::ranges::any_of(client.received, [](const auto& one) { return one.method == Method::id; });
  }
  static void stay_on(unsigned processor) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  }
  // Everybody in turn, on this thread.
  void go_on(base::Duration time, bool publishing) {
    for (const base::Time until = now() + time; now() < until;) {
      for (size_t index = 0; index < nodes_.size(); index++) turn(index, publishing && index == 0);
      control_.turn();
    }
  }
  void turn(size_t index, bool publishing) {
    Node& node = *nodes_[index];
    node.clients.receive(now());
    for (size_t i = 0; publishing && i < publishers_.size(); i++) publish(publishers_[i]);
    node.clients.transmit(now());
    node.worker.poll(now());
  }
  // From where it stopped in the frames.
  void publish(Publisher& publisher) {
    const size_t first = publisher.published % per_turn;
    const size_t from = first == 0 ? 0 : ends_[first - 1];
    const size_t room = publisher.client->send_room();
    size_t last = first;
    while (last < per_turn && ends_[last] - from <= room &&
           publisher.published + (last - first) < publisher.client->confirmed + in_flight)
      last++;
    if (last == first) return;
    publisher.client->write(base::Bytes(frames_).subspan(from, ends_[last - 1] - from));
    publisher.published += last - first;
  }
  uint64_t confirmed() const {
    uint64_t sum = 0;
    for (const Publisher& publisher : publishers_) sum += publisher.client->confirmed;
    return sum;
  }

  worker::Mesh mesh_{2};
  tests::ScriptedControl control_{mesh_};
  std::array<std::unique_ptr<Node>, 2> nodes_;
  std::vector<AmqpClient*> consumers_;
  std::vector<Publisher> publishers_;
  std::vector<uint8_t> frames_;  // of `per_turn` messages
  std::vector<size_t> ends_;     // of each of them
};

void Entrust(benchmark::State& state, Way way) {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  if (std::thread::hardware_concurrency() < 2) return state.SkipWithError("needs two processors");
  for (auto _ : state) {
    Entrusting entrusting(way, static_cast<size_t>(state.range(0)));
    const std::vector<double> rates = entrusting.measure();
    state.counters["lowest"] = rates.front();
    state.counters["per_second"] = rates[rates.size() / 2];
    state.counters["highest"] = rates.back();
  }
  sched_setaffinity(0, sizeof before, &before);
}
BENCHMARK_CAPTURE(Entrust, plain_here, Way::plain_here)->ArgName("publishers")->Arg(1)->Arg(8)->Iterations(1);
BENCHMARK_CAPTURE(Entrust, plain_elsewhere, Way::plain_elsewhere)->ArgName("publishers")->Arg(1)->Arg(8)->Iterations(1);
BENCHMARK_CAPTURE(Entrust, here, Way::here)->ArgName("publishers")->Arg(1)->Arg(8)->Iterations(1);
BENCHMARK_CAPTURE(Entrust, elsewhere, Way::elsewhere)->ArgName("publishers")->Arg(1)->Arg(8)->Iterations(1);
BENCHMARK_CAPTURE(Entrust, in_turn, Way::in_turn)->ArgName("publishers")->Arg(1)->Arg(8)->Iterations(1);

}  // namespace
}  // namespace talaria::bench
