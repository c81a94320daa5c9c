#include "control/password.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "control/base64.h"
#include "core/base/check.h"

namespace talaria::control {
namespace {

const EVP_MD* digest_of(std::string_view algorithm) {
  if (algorithm == sha256_hashing) return EVP_sha256();
  if (algorithm == sha512_hashing) return EVP_sha512();
  return nullptr;
}

std::optional<std::vector<uint8_t>> bytes_of(std::string_view hash) {
  constexpr size_t longest = 256;
  return hash.size() <= longest ? from_base64(hash) : std::nullopt;
}

std::vector<uint8_t> salted(const EVP_MD* digest, const PasswordSalt& salt, std::string_view password) {
  std::vector<uint8_t> input(salt.begin(), salt.end());
  input.insert(input.end(), password.begin(), password.end());
  std::vector<uint8_t> out(salt.size() + static_cast<size_t>(EVP_MD_get_size(digest)));
  std::copy(salt.begin(), salt.end(), out.begin());
  unsigned size = 0;
  CHECK(EVP_Digest(input.data(), input.size(), out.data() + salt.size(), &size, digest, nullptr) == 1);
  OPENSSL_cleanse(input.data(), input.size());
  return out;
}

}  // namespace

bool hashing_is_known(std::string_view algorithm) { return digest_of(algorithm) != nullptr; }

std::string hash_password(std::string_view algorithm, const PasswordSalt& salt, std::string_view password) {
  const EVP_MD* digest = digest_of(algorithm);
  CHECK(digest);
  return to_base64(salted(digest, salt, password));
}

bool password_matches(std::string_view algorithm, std::string_view hash, std::string_view password) {
  const EVP_MD* digest = digest_of(algorithm);
  auto expected = bytes_of(hash);
  if (password.empty() || !digest || !expected) return false;
  PasswordSalt salt{};
  if (expected->size() != salt.size() + static_cast<size_t>(EVP_MD_get_size(digest))) return false;
  std::copy_n(expected->begin(), salt.size(), salt.begin());
  std::vector<uint8_t> given = salted(digest, salt, password);
  return CRYPTO_memcmp(given.data(), expected->data(), given.size()) == 0;
}

bool hash_is_well_formed(std::string_view algorithm, std::string_view hash) {
  const EVP_MD* digest = digest_of(algorithm);
  auto bytes = bytes_of(hash);
  return digest && bytes && bytes->size() == PasswordSalt{}.size() + static_cast<size_t>(EVP_MD_get_size(digest));
}

}  // namespace talaria::control
