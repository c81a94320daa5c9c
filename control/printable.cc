#include "control/printable.h"

#include <algorithm>
#include <cstdint>

namespace talaria::control {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

std::string printable(std::string_view text) {
  constexpr size_t longest = 128;
  std::string out(text.substr(0, longest));
  std::replace_if(out.begin(), out.end(), is_control, '.');
  if (text.size() > longest) out += "...";
  return out;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    auto lead = static_cast<uint8_t>(text[at++]);
    if (lead < 0x80) continue;
    size_t following = lead >= 0xf0 ? 3 : (lead >= 0xe0 ? 2 : 1);
    if (lead < 0xc2 || lead > 0xf4 || text.size() - at < following) return false;
    uint32_t point = lead & (0x3fu >> following);
    for (size_t i = 0; i < following; i++) {
      auto next = static_cast<uint8_t>(text[at++]);
      if ((next & 0xc0) != 0x80) return false;
      point = point << 6 | (next & 0x3fu);
    }
    constexpr uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (point < least[following] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
  }
  return true;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 255 && is_utf8(text) && std::none_of(text.begin(), text.end(), is_control);
}

}  // namespace talaria::control
