// `make bench`: the layers one by one, then the whole walk, closed by a table of what each of its steps takes.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "tests/bench/cycles.h"
#include "tests/bench/walk.h"

int main(int argc, char** argv) {
  using namespace talaria::bench;
  std::printf("%s, TSC %.3f GHz; `cycles` are of the TSC, per item\n", cpu_model().c_str(), tsc_hz() / 1e9);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  print_walks();
  return 0;
}
