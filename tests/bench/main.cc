// `make bench`: the layers one by one, then the whole walk, closed by a table of what each of its steps takes.
// `bench --run-walk SCENARIO TURNS` and `bench --run-scale SCENARIO MESSAGES` only run one, see run_walk and run_scale;
// `bench --scales` names the latter's. `bench --cores` is what several workers cost, and
// `bench --run-cores PLACEMENT WORKERS TURNS` one line of that, see run_cores. `bench --run-relay PORT` measures
// nothing but is measured: see run_relay.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/bench/cores.h"
#include "tests/bench/cycles.h"
#include "tests/bench/relay.h"
#include "tests/bench/scale.h"
#include "tests/bench/walk.h"

int main(int argc, char** argv) {
  using namespace talaria::bench;
  if (argc == 2 && std::string_view(argv[1]) == "--scales") return print_scales(), 0;
  if (argc == 4 && std::string_view(argv[1]) == "--run-scale")
    return run_scale(argv[2], std::strtoull(argv[3], nullptr, 10)) ? 0 : 2;
  if (argc == 4 && std::string_view(argv[1]) == "--run-walk") return run_walk(argv[2], std::atoi(argv[3])) ? 0 : 2;
  if (argc == 5 && std::string_view(argv[1]) == "--run-cores")
    return run_cores(argv[2], std::atoi(argv[3]), std::atoi(argv[4])) ? 0 : 2;
  if (argc == 3 && std::string_view(argv[1]) == "--run-relay")
    return run_relay(static_cast<uint16_t>(std::atoi(argv[2]))), 1;
  if (argc == 2 && std::string_view(argv[1]) == "--cores") return print_cores(), 0;
  std::printf("%s, TSC %.3f GHz; `cycles` are of the TSC, per item\n", cpu_model().c_str(), tsc_hz() / 1e9);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  print_walks();
  return 0;
}
