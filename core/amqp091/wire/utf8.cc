#include "core/amqp091/wire/utf8.h"

namespace talaria::amqp091::wire {

bool is_utf8_slow(std::string_view text) {
  auto octet = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    uint8_t lead = octet(i);
    if (lead < 0x80) {
      i++;
      continue;
    }
    // How many octets follow, and the range of the first of them: that is where overlong forms and surrogates show.
    size_t more;
    uint8_t least = 0x80, most = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      if (lead == 0xE0) least = 0xA0;
      if (lead == 0xED) most = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      if (lead == 0xF0) least = 0x90;
      if (lead == 0xF4) most = 0x8F;
    } else {
      return false;
    }
    if (text.size() - i <= more) return false;
    if (octet(i + 1) < least || octet(i + 1) > most) return false;
    for (size_t k = 2; k <= more; k++)
      if ((octet(i + k) & 0xC0) != 0x80) return false;
    i += 1 + more;
  }
  return true;
}

}  // namespace talaria::amqp091::wire
