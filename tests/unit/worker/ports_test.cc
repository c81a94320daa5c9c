// One worker set on two network ports: whoever comes by one finds the queues of whoever came by the other, and a port
// that does not move leaves the other alone.
#include <memory>

#include "tests/unit/worker/cluster.h"

namespace talaria::worker {
namespace {

constexpr net::Ipv4Address left_address{0xc6120001}, right_address{0xc6120101}, right_client{0xc6120102};

// A worker with a port on either side, and a host of clients at each.
class TwoPorts : public testing::Test, public Turns {
 protected:
  TwoPorts() {
    memory_.resize(65 * base::Arena::block_bytes);
    WorkerConfig config;
    config.hosts = {{.addresses = {{left_address, 24}}, .announce = false},
                    {.addresses = {{right_address, 24}}, .announce = true}};
    config.marks.reserve = broker::Engine::reserve_bytes(1);
    config.message_memory = memory_;
    config.key = {7, 8};
    worker_.emplace(config, std::array<net::Device*, 2>{&left_pipe_.right, &right_pipe_.right}, mesh_);
    run(1ms);
  }
  ~TwoPorts() override {
    for (AmqpClient* client : left_clients_) left_.abort(*client);
    for (AmqpClient* client : right_clients_) right_.abort(*client);
    left_moves = right_moves = true;
    control_.send(0, Drain{});
    EXPECT_TRUE(run_until([&] { return control_.drained == 1; })) << "the worker did not drain";
    for (const std::string& name : control_.queue_names()) control_.remove_queue(name);
    run(2ms);
    EXPECT_EQ(worker_->pool().messages(), 0u) << "a message leaked";
  }

  void turn() final {
    if (left_moves) {
      left_.receive(now);
      left_.transmit(now);
    }
    if (right_moves) {
      right_.receive(now);
      right_.transmit(now);
    }
    worker_->poll(now);
    control_.turn();
    now += 10us;
  }
  AmqpClient& open(bool left) {
    AmqpClient& client = (left ? left_ : right_).connect({left ? left_address : right_address, 5672}, now);
    (left ? left_clients_ : right_clients_).push_back(&client);
    client.write_when_open = [](AmqpClient& opened) { opened.open_channel(1); };
    EXPECT_TRUE(run_until([&] { return client.take<channel::OpenOk>().has_value(); })) << "no channel.open-ok";
    return client;
  }
  Mesh mesh_{1};
  tests::ScriptedControl control_{mesh_};
  tests::Pipe left_pipe_{true}, right_pipe_{true};
  tests::ClientHost left_{left_pipe_.left, client_address};
  tests::ClientHost right_{right_pipe_.left, right_client};
  std::vector<uint8_t> memory_;
  std::optional<Worker> worker_;
  std::vector<AmqpClient*> left_clients_, right_clients_;
  bool left_moves = true, right_moves = true;
};

TEST_F(TwoPorts, PublishedOnOneConsumedOnTheOther) {
  control_.add_queue("q", 0);
  run(1ms);
  AmqpClient& publisher = open(true);
  AmqpClient& consumer = open(false);
  consumer.consume(1, "q", "c", true);
  await<basic::ConsumeOk>(consumer);
  for (const char* body : {"one", "two", "three"}) publisher.publish(1, "", "q", body);
  for (const char* body : {"one", "two", "three"}) EXPECT_EQ(await<basic::Deliver>(consumer).body, body);
  EXPECT_GT(worker_->host(0).counters().tcp_received.value(), 0u);
  EXPECT_GT(worker_->host(1).counters().tcp_received.value(), 0u);
}

TEST_F(TwoPorts, APortThatStandsStillDoesNotDisturbTheOther) {
  control_.add_queue("q", 0);
  run(1ms);
  AmqpClient& still = open(true);
  AmqpClient& lively = open(false);
  still.consume(1, "q", "c", true);
  await<basic::ConsumeOk>(still);
  left_moves = false;
  for (int i = 0; i < 200; i++) lively.publish(1, "", "q", std::string(1000, 'x'));
  run(50ms);
  EXPECT_EQ(worker_->sessions().counters().messages_published.value(), 200u);
  lively.consume(1, "q", "d", true);
  await<basic::ConsumeOk>(lively);
  lively.publish(1, "", "q", "for one of the two");
  lively.publish(1, "", "q", "for the other");
  EXPECT_TRUE(run_until([&] { return lively.take<basic::Deliver>().has_value(); }));
}

TEST_F(TwoPorts, OneAnnouncesItselfAgainWhenItsLinkComesUp) {
  run(10ms);
  const auto sent = [&](size_t port) { return worker_->host(port).counters().frames_sent.value(); };
  const uint64_t left = sent(0), right = sent(1);
  control_.send(0, LinkUp{1});
  run(1ms);
  EXPECT_EQ(sent(0), left);
  EXPECT_EQ(sent(1), right + 1);
}

TEST_F(TwoPorts, AWatcherIsToldThePort) {
  struct Watcher final : net::FrameWatcher {
    void see(size_t port, net::FrameWay, const net::Packet&, base::Time) override { seen[port]++; }
    size_t seen[2] = {};
  } watcher;
  control_.send(0, WatchFrames{&watcher});
  run(1ms);
  open(true);
  EXPECT_GT(watcher.seen[0], 0u);
  EXPECT_EQ(watcher.seen[1], 0u);
  open(false);
  EXPECT_GT(watcher.seen[1], 0u);
  control_.send(0, WatchFrames{nullptr});
  run(1ms);
}

// What is heard on one port is told for that port.
TEST(WorkerPorts, NewsOfAColleagueIsOfItsPort) {
  Mesh mesh(2);
  tests::Pipe left(true), right(true);
  std::vector<uint8_t> memory(65 * base::Arena::block_bytes);
  WorkerConfig config;
  config.index = 1;
  config.hosts = {{.addresses = {{left_address, 24}}, .announce = false},
                  {.addresses = {{right_address, 24}}, .announce = true}};
  config.marks.reserve = broker::Engine::reserve_bytes(2);
  config.message_memory = memory;
  Worker worker(config, std::array<net::Device*, 2>{&left.right, &right.right}, mesh);
  const net::IpPrefix news{net::Ipv4Address{0x0a000005}, 8};
  using Kind = net::NetworkChange::Kind;
  mesh.lane(0, 1).network.push(OnPort<net::NetworkChange>{1, {Kind::address_added, news, {}}});
  worker.poll(base::Time{1s});
  EXPECT_FALSE(worker.host(0).routing().is_ours(news.address));
  EXPECT_TRUE(worker.host(1).routing().is_ours(news.address));
  mesh.lane(0, 1).network.push(OnPort<net::NetworkChange>{1, {Kind::address_removed, news, {}}});
  worker.poll(base::Time{2s});
  EXPECT_FALSE(worker.host(1).routing().is_ours(news.address));
}

}  // namespace
}  // namespace talaria::worker
