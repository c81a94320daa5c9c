// Runs a fuzz target over the files it is given, without a fuzzer: a regression test that any compiler builds.
//
//   replay_NAME DIRECTORY-OR-FILE...      each file is one test; closes with `N passed, N failed`
//
// Every file has a process of its own, so that one that crashes or hangs the target is counted by name and the rest are
// still tried.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr unsigned seconds_max = 20;  // of one file

std::vector<std::filesystem::path> files_in(int count, char** names) {
  std::vector<std::filesystem::path> files;
  for (int i = 0; i < count; i++) {
    const std::filesystem::path path = names[i];
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool passes(const std::filesystem::path& path) {
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    alarm(seconds_max);
    std::ifstream file(path, std::ios::binary);
    if (!file) _exit(1);
    const std::vector<uint8_t> input{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(input.data(), input.size());
    _exit(0);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  size_t passed = 0, failed = 0;
  for (const auto& file : files_in(argc - 1, argv + 1)) {
    const bool good = passes(file);
    (good ? passed : failed)++;
    if (!good) std::printf("failed: %s\n", file.c_str());
    std::fflush(stdout);
  }
  std::printf("%zu passed, %zu failed\n", passed, failed);
  return failed == 0 && passed != 0 ? 0 : 1;
}
