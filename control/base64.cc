#include "control/base64.h"

#include <openssl/evp.h>

namespace talaria::control {

std::string to_base64(base::Bytes bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP writes a terminating zero, too
  int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  return text;
}

std::optional<std::vector<uint8_t>> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  std::vector<uint8_t> bytes(text.size() / 4 * 3);
  int size =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  size_t padding = text.ends_with("==") ? 2 : (text.ends_with("=") ? 1 : 0);
  bytes.resize(static_cast<size_t>(size) - padding);
  return bytes;
}

}  // namespace talaria::control
