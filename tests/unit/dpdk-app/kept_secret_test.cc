#include "dpdk-app/kept_secret.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace talaria::app {
namespace {

TEST(KeptSecret, IsTheSameAtTheNextStart) {
  const std::string path = std::filesystem::temp_directory_path() / ("talaria-secret-" + std::to_string(getpid()));
  std::filesystem::remove(path);
  auto first = kept_secret(path, {1, 2});
  ASSERT_TRUE(first) << first.error().reason;
  EXPECT_EQ(first->k0, 1u);
  auto second = kept_secret(path, {3, 4});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->k0, 1u);
  EXPECT_EQ(second->k1, 2u);
  struct stat facts {};
  ASSERT_EQ(stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600u);
  std::ofstream(path, std::ios::app) << "x";
  EXPECT_FALSE(kept_secret(path, {3, 4})) << "another size";
  std::filesystem::remove(path);
  EXPECT_FALSE(kept_secret("/nonexistent/secret", {3, 4}));
}

}  // namespace
}  // namespace talaria::app
