#include "core/net/ip_address.h"

#include <array>
#include <bit>
#include <charconv>

namespace talaria::net {
namespace {

constexpr int words_of_ipv6 = 8;

uint64_t mask(uint8_t bits) { return bits == 0 ? 0 : ~uint64_t{0} << (64 - bits); }

// The words of "2001:db8:1", at most `room`; empty if there is anything else. An empty text has none.
std::optional<int> parse_words(std::string_view text, uint16_t* words, int room) {
  if (text.empty()) return 0;
  int count = 0;
  for (;;) {
    const size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    uint16_t word = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), word, 16);
    if (error != std::errc{} || end != part.data() + part.size() || part.size() > 4 || count == room) return {};
    words[count++] = word;
    if (colon == std::string_view::npos) return count;
    text.remove_prefix(colon + 1);
  }
}

std::optional<IpAddress> parse_ipv6_address(std::string_view text) {
  std::array<uint16_t, words_of_ipv6> words{};
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (parse_words(text, words.data(), words_of_ipv6) != words_of_ipv6) return {};
  } else {
    std::array<uint16_t, words_of_ipv6> tail{};
    const auto before = parse_words(text.substr(0, gap), words.data(), words_of_ipv6 - 1);
    const auto behind = parse_words(text.substr(gap + 2), tail.data(), words_of_ipv6 - 1);
    if (!before || !behind || *before + *behind > words_of_ipv6 - 1) return {};
    for (int i = 0; i < *behind; i++)
      words[static_cast<size_t>(words_of_ipv6 - *behind + i)] = tail[static_cast<size_t>(i)];
  }
  IpAddress address;
  for (size_t i = 0; i < 4; i++) address.high = address.high << 16 | words[i];
  for (size_t i = 4; i < 8; i++) address.low = address.low << 16 | words[i];
  return address;
}

std::string ipv6_text(const IpAddress& address) {
  std::array<uint16_t, words_of_ipv6> words;
  for (size_t i = 0; i < 4; i++) words[i] = static_cast<uint16_t>(address.high >> (48 - 16 * i));
  for (size_t i = 0; i < 4; i++) words[4 + i] = static_cast<uint16_t>(address.low >> (48 - 16 * i));
  // The longest run of zeros is left out, the first of several, and none of one word (RFC 5952 4.2).
  size_t gap = 0, gap_words = 1;
  for (size_t i = 0; i < words.size(); i++) {
    size_t count = 0;
    while (i + count < words.size() && words[i + count] == 0) count++;
    if (count > gap_words) {
      gap = i;
      gap_words = count;
    }
  }
  std::string out;
  for (size_t i = 0; i < words.size(); i++) {
    if (gap_words > 1 && i == gap) {
      out += "::";
      i += gap_words - 1;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    char digits[4];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, words[i], 16).ptr);
  }
  return out;
}

}  // namespace

bool same_prefix(const IpAddress& a, const IpAddress& b, uint8_t bits) {
  if (a.is_v4() != b.is_v4()) return false;
  if (a.is_v4()) bits = static_cast<uint8_t>(bits + 96);
  const uint64_t high_mask = mask(bits < 64 ? bits : 64);
  const uint64_t low_mask = bits <= 64 ? 0 : mask(static_cast<uint8_t>(bits - 64));
  return ((a.high ^ b.high) & high_mask) == 0 && ((a.low ^ b.low) & low_mask) == 0;
}

IpAddress first_of(const IpPrefix& prefix) {
  const auto bits = static_cast<uint8_t>(prefix.address.is_v4() ? prefix.bits + 96 : prefix.bits);
  return {prefix.address.high & mask(bits < 64 ? bits : 64),
          prefix.address.low & (bits <= 64 ? 0 : mask(static_cast<uint8_t>(bits - 64)))};
}

uint8_t common_prefix_bits(const IpAddress& a, const IpAddress& b) {
  if (a.is_v4() != b.is_v4()) return 0;
  const int bits = a.high != b.high ? std::countl_zero(a.high ^ b.high) : 64 + std::countl_zero(a.low ^ b.low);
  return static_cast<uint8_t>(a.is_v4() ? bits - 96 : bits);
}

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  if (text.find(':') != std::string_view::npos) return parse_ipv6_address(text);
  if (auto address = parse_ipv4_address(text)) return IpAddress(*address);
  return {};
}

std::string to_text(const IpAddress& address) { return address.is_v4() ? to_text(address.v4()) : ipv6_text(address); }

std::string to_text(const IpPrefix& prefix) { return to_text(prefix.address) + "/" + std::to_string(prefix.bits); }

}  // namespace talaria::net
