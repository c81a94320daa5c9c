// Under a steady load a worker's turn allocates nothing: every operator new of the process is counted while it polls.
#include <cstdlib>
#include <new>

#include "tests/support/load.h"
#include "tests/unit/worker/cluster.h"

namespace {

bool counting = false;
uint64_t allocations = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (counting) allocations++;
  void* memory = alignment > alignof(std::max_align_t)
                     ? std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment)
                     : std::malloc(bytes);
  if (!memory) std::abort();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace talaria::worker {
namespace {

struct SteadyLoad {
  const char* name;
  tests::LoadOptions options;
};

class WorkerAllocation : public ::testing::TestWithParam<SteadyLoad> {};

TEST_P(WorkerAllocation, NoneUnderASteadyLoad) {
  constexpr int turns_before = 3000, turns = 5000;
  std::vector<uint8_t> memory(size_t{32} << 20);
  Mesh mesh(1);
  tests::ScriptedControl control(mesh);
  tests::Pipe pipe(true);
  tests::ClientHost clients(pipe.left, client_address);
  WorkerConfig config;
  config.hosts = {{.addresses = {{broker_address, 24}}, .announce = false}};
  config.message_memory = memory;
  config.key = {7, 8};
  Worker worker(config, pipe.right, mesh);
  base::Time now{1s};
  tests::Load load(clients, control, {broker_address, 5672}, GetParam().options, now);

  const auto turn = [&](bool publishing) {
    load.turn(now, publishing);
    counting = true;
    worker.poll(now);
    counting = false;
    control.turn();
    now += 20us;
  };
  for (int i = 0; i < 200000 && !load.ready(); i++) turn(false);  // a SYN may be lost to ARP and wait a second
  ASSERT_TRUE(load.ready());
  for (int i = 0; i < turns_before; i++) turn(true);
  const uint64_t delivered = load.delivered();
  allocations = 0;
  for (int i = 0; i < turns; i++) turn(true);
  EXPECT_EQ(allocations, 0u) << "for " << load.delivered() - delivered << " deliveries";
  EXPECT_GT(load.delivered() - delivered, uint64_t{turns}) << "there was no load to speak of";
  for (int i = 0; i < 20000 && !load.complete(); i++) turn(false);
  EXPECT_TRUE(load.complete()) << load.published() << " published, " << load.delivered() << " delivered";
}

// The counter itself counts.
TEST(WorkerAllocation, IsSeen) {
  allocations = 0;
  counting = true;
  std::vector<uint8_t> one(1000);
  counting = false;
  EXPECT_EQ(allocations, 1u);
  EXPECT_EQ(one.size(), 1000u);
}

INSTANTIATE_TEST_SUITE_P(Loads, WorkerAllocation,
                         ::testing::Values(SteadyLoad{"Plain", {.per_turn = 50}}, SteadyLoad{"Saturated", {}},
                                           SteadyLoad{"AcknowledgedAndConfirmed",
                                                      {.acknowledges = true, .confirms = true}},
                                           SteadyLoad{"LargeBodies", {.body_bytes = 20000, .per_turn = 2}},
                                           SteadyLoad{"FanOut", {.consumers = 8, .per_turn = 10}}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace talaria::worker
