// Passwords as RabbitMQ keeps them, so that its definitions can be imported:
//
//     base64( salt (4 bytes) || digest( salt || password ) )
//
// The digest is named with the hash: rabbit_password_hashing_sha256 (what we make) or rabbit_password_hashing_sha512.
// A blank password is never accepted, whatever hash stands there. Stateless, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace talaria::control {

using PasswordSalt = std::array<uint8_t, 4>;

inline constexpr std::string_view sha256_hashing = "rabbit_password_hashing_sha256";
inline constexpr std::string_view sha512_hashing = "rabbit_password_hashing_sha512";

bool hashing_is_known(std::string_view algorithm);
// The algorithm must be known.
std::string hash_password(std::string_view algorithm, const PasswordSalt& salt, std::string_view password);
// False as well for a hash that is damaged, empty or of an unknown algorithm. Takes the same time wherever they differ.
bool password_matches(std::string_view algorithm, std::string_view hash, std::string_view password);
// Is it a hash that some password could match?
bool hash_is_well_formed(std::string_view algorithm, std::string_view hash);

}  // namespace talaria::control
