#include "control/password.h"

#include <gtest/gtest.h>

namespace talaria::control {
namespace {

// From RabbitMQ's documentation of its password hashes: "test12" with salt 0x908dc60a.
constexpr PasswordSalt documented_salt = {0x90, 0x8d, 0xc6, 0x0a};
constexpr char documented_hash[] = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

TEST(Password, MakesTheHashThatRabbitmqDocuments) {
  EXPECT_EQ(hash_password(sha256_hashing, documented_salt, "test12"), documented_hash);
  EXPECT_TRUE(password_matches(sha256_hashing, documented_hash, "test12"));
}

TEST(Password, RefusesWhatDiffers) {
  EXPECT_FALSE(password_matches(sha256_hashing, documented_hash, "test13"));
  EXPECT_FALSE(password_matches(sha256_hashing, documented_hash, "test1"));
  EXPECT_FALSE(password_matches(sha256_hashing, documented_hash, "test12 "));
  std::string changed = documented_hash;
  changed[10] = changed[10] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(password_matches(sha256_hashing, changed, "test12"));
}

TEST(Password, Sha512IsAnAlgorithmOfItsOwn) {
  std::string hash = hash_password(sha512_hashing, documented_salt, "test12");
  EXPECT_TRUE(password_matches(sha512_hashing, hash, "test12"));
  EXPECT_FALSE(password_matches(sha256_hashing, hash, "test12"));
  EXPECT_FALSE(password_matches(sha512_hashing, documented_hash, "test12"));
}

TEST(Password, NeverAcceptsABlankOne) {
  std::string blank = hash_password(sha256_hashing, documented_salt, "");
  EXPECT_FALSE(password_matches(sha256_hashing, blank, ""));
  EXPECT_FALSE(password_matches(sha256_hashing, "", ""));
  EXPECT_FALSE(password_matches(sha256_hashing, "", "x"));
}

TEST(Password, RefusesDamagedHashesAndUnknownAlgorithms) {
  for (const char* damaged :
       {"", "=", "====", "kI3G", "not base64!!", "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2PO"}) {
    EXPECT_FALSE(password_matches(sha256_hashing, damaged, "test12")) << damaged;
    EXPECT_FALSE(hash_is_well_formed(sha256_hashing, damaged)) << damaged;
  }
  EXPECT_FALSE(password_matches("rabbit_password_hashing_md5", documented_hash, "test12"));
  EXPECT_FALSE(hashing_is_known("rabbit_password_hashing_md5"));
  EXPECT_TRUE(hash_is_well_formed(sha256_hashing, documented_hash));
  EXPECT_FALSE(hash_is_well_formed(sha512_hashing, documented_hash));
}

}  // namespace
}  // namespace talaria::control
