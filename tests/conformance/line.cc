#include "tests/conformance/line.h"

#include <algorithm>
#include <charconv>

#include "tests/conformance/error.h"

namespace talaria::conformance {
namespace {

constexpr std::string_view flag_letters = "FSRP.UEW";

uint8_t flags_of(std::string_view word) {
  if (word == "-") return 0;
  uint8_t flags = 0;
  for (char letter : word) {
    const size_t bit = flag_letters.find(letter);
    if (bit == std::string_view::npos) throw Failure("\"" + std::string(word) + "\" are no flags");
    flags |= static_cast<uint8_t>(1u << bit);
  }
  return flags;
}

std::string flags_text(uint8_t flags) {
  std::string text;
  for (char letter : std::string_view("SFRP.UEW"))
    if (flags >> flag_letters.find(letter) & 1) text += letter;
  return text.empty() ? "-" : text;
}

std::pair<uint32_t, uint32_t> pair_of(std::string_view word, std::string_view between) {
  const size_t at = word.find(between);
  if (at == std::string_view::npos) throw Failure("\"" + std::string(word) + "\" is no A" + std::string(between) + "B");
  return {static_cast<uint32_t>(number_of(word.substr(0, at))),
          static_cast<uint32_t>(number_of(word.substr(at + between.size())))};
}

std::vector<uint8_t> hex_of(std::string_view word) {
  std::vector<uint8_t> bytes;
  if (word.size() % 2 != 0) throw Failure("\"" + std::string(word) + "\" are no bytes in hex");
  for (size_t at = 0; at < word.size(); at += 2) {
    uint8_t byte = 0;
    auto [end, error] = std::from_chars(word.data() + at, word.data() + at + 2, byte, 16);
    if (error != std::errc{} || end != word.data() + at + 2)
      throw Failure("\"" + std::string(word) + "\" are no bytes in hex");
    bytes.push_back(byte);
  }
  return bytes;
}

std::optional<uint32_t> any_or_number(std::string_view word) {
  if (word == "*") return {};
  return static_cast<uint32_t>(number_of(word));
}

void read_options(std::string_view text, SegmentLine& line) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    auto words = words_of(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (words.empty()) continue;
    auto need = [&](size_t count) {
      if (words.size() != count)
        throw Failure("option \"" + words[0] + "\" takes " + std::to_string(count - 1) + " words");
    };
    if (words[0] == "mss") {
      need(2);
      line.mss = static_cast<uint16_t>(number_of(words[1]));
    } else if (words[0] == "ws") {
      need(2);
      line.window_scale = static_cast<uint8_t>(number_of(words[1]));
    } else if (words[0] == "sackOK") {
      line.sack_permitted = true;
    } else if (words[0] == "TS") {
      need(3);
      line.timestamp = true;
      line.timestamp_value = any_or_number(words[1]);
      line.timestamp_echo = any_or_number(words[2]);
    } else if (words[0] == "no") {
      line.no_timestamp = true;
    } else if (words[0] == "sack") {
      for (size_t i = 1; i < words.size(); i++) line.sacks.push_back(pair_of(words[i], ":"));
    } else if (words[0] == "raw") {
      need(2);
      line.raw_options = hex_of(words[1]);
    } else {
      throw Failure("there is no option \"" + words[0] + "\"");
    }
  }
}

void read_range(std::string_view word, SegmentLine& line) {
  const size_t open = word.find('(');
  if (open == std::string_view::npos || word.back() != ')')
    throw Failure("\"" + std::string(word) + "\" is no START:END(LENGTH)");
  auto [start, end] = pair_of(word.substr(0, open), ":");
  line.start = start;
  line.length = static_cast<uint32_t>(number_of(word.substr(open + 1, word.size() - open - 2)));
  if (start + line.length != end) throw Failure("\"" + std::string(word) + "\" does not add up");
}

std::string address_text(uint32_t address) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8)
    text += (text.empty() ? "" : ".") + std::to_string(address >> shift & 255);
  return text;
}

uint32_t base_of(const std::optional<uint32_t>& isn) { return isn.value_or(0); }

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ') {
      at++;
      continue;
    }
    const bool options = text[at] == '<' && at + 1 < text.size() && text[at + 1] != ' ';
    size_t end = text.find(options ? '>' : ' ', at);
    if (options && end == std::string_view::npos) throw Failure("a > is missing");
    end = std::min(options ? end + 1 : end, text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

uint64_t number_of(std::string_view word) {
  uint64_t number = 0;
  const bool hex = word.starts_with("0x");
  if (hex) word.remove_prefix(2);
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number, hex ? 16 : 10);
  if (word.empty() || error != std::errc{} || end != word.data() + word.size())
    throw Failure("\"" + std::string(word) + "\" is no number");
  return number;
}

uint32_t address_of(std::string_view word) {
  if (word == "us") return our_address;
  if (word == "peer") return peer_address;
  if (word == "all") return 0xffffffff;
  uint32_t address = 0;
  for (int part = 0; part < 4; part++) {
    const size_t dot = part < 3 ? word.find('.') : word.size();
    if (dot == std::string_view::npos) throw Failure("\"" + std::string(word) + "\" is no address");
    address = address << 8 | static_cast<uint32_t>(number_of(word.substr(0, dot)));
    word.remove_prefix(std::min(dot + 1, word.size()));
  }
  return address;
}

Mac mac_of(std::string_view word) {
  if (word == "us") return our_mac;
  if (word == "all") return everybody;
  std::string digits;
  for (char letter : word)
    if (letter != ':') digits += letter;
  const auto bytes = hex_of(digits);
  Mac mac{};
  if (bytes.size() != mac.size()) throw Failure("\"" + std::string(word) + "\" is no MAC address");
  std::copy(bytes.begin(), bytes.end(), mac.begin());
  return mac;
}

SegmentLine read_segment_line(const std::vector<std::string>& words) {
  SegmentLine line;
  if (words.size() < 2) throw Failure("a segment is FLAGS START:END(LENGTH) ...");
  line.flags = flags_of(words[0]);
  line.says_push = (line.flags & psh) != 0;
  read_range(words[1], line);
  for (size_t at = 2; at < words.size(); at++) {
    const std::string& word = words[at];
    if (word[0] == '<') {
      read_options(std::string_view(word).substr(1, word.size() - 2), line);
      continue;
    }
    if (word == "junk") {
      line.junk = true;
      continue;
    }
    if (++at == words.size()) throw Failure("something is missing behind \"" + word + "\"");
    const std::string& value = words[at];
    if (word == "ack")
      line.acknowledgement = static_cast<uint32_t>(number_of(value));
    else if (word == "win")
      line.window = static_cast<uint32_t>(number_of(value));
    else if (word == "urg")
      line.urgent = static_cast<uint16_t>(number_of(value));
    else if (word == "broken" && value == "tcp-checksum")
      line.oddities.bad_l4_checksum = true;
    else if (word == "broken" && value == "ip-checksum")
      line.oddities.bad_ip_checksum = true;
    else if (word == "data-offset")
      line.oddities.data_offset = static_cast<unsigned>(number_of(value));
    else if (word == "ip-header")
      line.oddities.header_length = static_cast<unsigned>(number_of(value));
    else if (word == "ip-length")
      line.oddities.total_length = static_cast<unsigned>(number_of(value));
    else if (word == "cut")
      line.oddities.cut = static_cast<unsigned>(number_of(value));
    else if (word == "fragment")
      line.oddities.fragment = pair_of(value, "..");
    else if (word == "id")
      line.oddities.identification = static_cast<uint16_t>(number_of(value));
    else if (word == "from")
      line.from = address_of(value);
    else if (word == "to")
      line.to = address_of(value);
    else if (word == "mac")
      line.to_mac = mac_of(value);
    else
      throw Failure("a segment has no \"" + word + " " + value + "\"");
  }
  return line;
}

Frame frame_of(const SegmentLine& line, Conversation& conversation, base::Time now) {
  WireSegment segment{.source = line.from.value_or(conversation.address),
                      .destination = line.to.value_or(our_address),
                      .source_port = conversation.peer_port,
                      .destination_port = conversation.local_port,
                      .sequence = conversation.peer_isn + line.start,
                      .acknowledgement = 0,
                      .flags = line.flags,
                      .window = 0,
                      .urgent = line.urgent};
  if ((line.flags & ack) != 0)
    segment.acknowledgement =
        line.acknowledgement ? base_of(conversation.our_isn) + *line.acknowledgement : conversation.our_next;
  if ((line.flags & syn) != 0) {
    conversation.peer_scale = line.window_scale;
    conversation.timestamps = line.timestamp;
    conversation.clock = line.timestamp_value.value_or(0);
    conversation.clock_began = now;
  }
  if (line.window) conversation.window = *line.window;
  const bool scaled = conversation.both_scale() && (line.flags & syn) == 0;
  segment.window = static_cast<uint16_t>(
      std::min<uint32_t>(conversation.window >> (scaled ? std::min<int>(*conversation.peer_scale, 14) : 0), 65535));
  segment.mss = line.mss;
  segment.window_scale = line.window_scale;
  segment.sack_permitted = line.sack_permitted;
  if (line.timestamp || (conversation.timestamps && !line.no_timestamp)) {
    const auto elapsed = static_cast<uint32_t>((now - conversation.clock_began) / std::chrono::milliseconds(1));
    segment.timestamp = {line.timestamp_value.value_or(conversation.clock + elapsed),
                         line.timestamp_echo.value_or(conversation.our_timestamp)};
  }
  for (auto [start, end] : line.sacks)
    segment.sacks.emplace_back(base_of(conversation.our_isn) + start, base_of(conversation.our_isn) + end);
  segment.other_options = line.raw_options;
  // Data that rides on a SYN begins behind it.
  const uint32_t offset = line.start - ((line.flags & syn) != 0 ? 0 : 1);
  for (uint32_t i = 0; i < line.length; i++) {
    const uint8_t byte = stream_byte(conversation, true, offset + i);
    segment.payload.push_back(line.junk ? static_cast<uint8_t>(~byte) : byte);
  }
  return write_ipv4(6, segment.source, segment.destination, write_tcp(segment, line.oddities), conversation.mac,
                    line.to_mac.value_or(our_mac), line.oddities);
}

std::string to_text(const WireSegment& segment, const Conversation* conversation) {
  const uint32_t ours = conversation ? base_of(conversation->our_isn) : 0;
  const uint32_t theirs = conversation ? conversation->peer_isn : 0;
  // Our own SYN says where our numbers begin.
  const uint32_t start =
      (segment.flags & syn) != 0 && conversation && !conversation->our_isn ? 0 : segment.sequence - ours;
  const auto length = static_cast<uint32_t>(segment.payload.size());
  std::string text = flags_text(segment.flags) + " " + std::to_string(start) + ":" + std::to_string(start + length) +
                     "(" + std::to_string(length) + ")";
  if ((segment.flags & ack) != 0) text += " ack " + std::to_string(segment.acknowledgement - theirs);
  const bool scaled = conversation && conversation->both_scale() && (segment.flags & syn) == 0;
  text += " win " + std::to_string(uint32_t{segment.window} << (scaled ? *conversation->our_scale : 0));
  if (segment.urgent != 0) text += " urg " + std::to_string(segment.urgent);
  std::string options;
  auto add = [&](const std::string& option) { options += (options.empty() ? "" : ", ") + option; };
  if (segment.mss) add("mss " + std::to_string(*segment.mss));
  if (segment.sack_permitted) add("sackOK");
  if (segment.timestamp)
    add("TS " + std::to_string(segment.timestamp->value) + " " + std::to_string(segment.timestamp->echo));
  if (segment.window_scale) add("ws " + std::to_string(*segment.window_scale));
  if (!segment.sacks.empty()) {
    std::string blocks = "sack";
    for (auto [from, to] : segment.sacks)
      blocks += " " + std::to_string(from - theirs) + ":" + std::to_string(to - theirs);
    add(blocks);
  }
  if (!segment.other_options.empty()) add("raw, " + std::to_string(segment.other_options.size()) + " bytes");
  if (!options.empty()) text += " <" + options + ">";
  return text;
}

std::string to_text(const Sent& sent, Machine& machine) {
  if (sent.segment) {
    const WireSegment& segment = *sent.segment;
    const Conversation* conversation = machine.find(segment.destination, segment.destination_port, segment.source_port);
    std::string text = to_text(segment, conversation);
    if (!conversation)
      text += " to " + address_text(segment.destination) + ":" + std::to_string(segment.destination_port);
    else if (conversation->name != "a")
      text += " to peer " + conversation->name;
    return text;
  }
  if (sent.arp)
    return std::string("arp ") + (sent.arp->request ? "request" : "reply") + " sender " +
           address_text(sent.arp->sender) + " target " + address_text(sent.arp->target);
  if (sent.icmp) return "icmp " + std::to_string(sent.icmp->type) + " " + std::to_string(sent.icmp->code);
  return sent.what;
}

void remember(const WireSegment& segment, Conversation& conversation) {
  if ((segment.flags & rst) != 0) return;
  const bool opens = (segment.flags & syn) != 0;
  if (opens) {
    conversation.our_isn = segment.sequence;
    conversation.our_scale = segment.window_scale;
  }
  const uint32_t end = segment.sequence + static_cast<uint32_t>(segment.payload.size()) + (opens ? 1 : 0) +
                       ((segment.flags & fin) != 0 ? 1 : 0);
  if (opens || static_cast<int32_t>(end - conversation.our_next) > 0) conversation.our_next = end;
  if (segment.timestamp) conversation.our_timestamp = segment.timestamp->value;
}

std::string difference(const SegmentLine& line, const WireSegment& segment, Conversation& conversation) {
  const uint8_t compared = line.says_push ? 0xff : static_cast<uint8_t>(~psh);
  if ((segment.flags & compared) != (line.flags & compared)) return "the flags differ";
  const bool opens = (segment.flags & syn) != 0;
  const uint32_t ours = opens && !conversation.our_isn ? segment.sequence : base_of(conversation.our_isn);
  if (segment.sequence - ours != line.start) return "the sequence number differs";
  if (segment.payload.size() != line.length) return "the length differs";
  if (line.acknowledgement && segment.acknowledgement - conversation.peer_isn != *line.acknowledgement)
    return "the acknowledgement differs";
  const uint32_t window = uint32_t{segment.window}
                          << (conversation.both_scale() && !opens ? *conversation.our_scale : 0);
  if (line.window && window != *line.window) return "the window differs";
  if (segment.urgent != line.urgent) return "the urgent pointer differs";
  if (segment.mss != line.mss) return "the MSS option differs";
  if (segment.window_scale != line.window_scale) return "the window scale option differs";
  if (segment.sack_permitted != line.sack_permitted) return "the SACK-permitted option differs";
  if (line.timestamp && !segment.timestamp) return "the timestamp option is missing";
  if (line.no_timestamp && segment.timestamp) return "there is a timestamp option";
  if (line.timestamp_value && segment.timestamp->value != *line.timestamp_value) return "the timestamp differs";
  if (line.timestamp_echo && segment.timestamp->echo != *line.timestamp_echo) return "the timestamp echo differs";
  std::vector<std::pair<uint32_t, uint32_t>> sacks;
  for (auto [start, end] : segment.sacks)
    sacks.emplace_back(start - conversation.peer_isn, end - conversation.peer_isn);
  if (sacks != line.sacks) return "the SACK blocks differ";
  if (segment.other_options != line.raw_options) return "other options differ";
  for (uint32_t i = 0; i < line.length; i++)
    if (segment.payload[i] != stream_byte(conversation, false, line.start - 1 + i))
      return "the byte at " + std::to_string(line.start + i) + " is not what the application wrote there";

  remember(segment, conversation);
  return {};
}

}  // namespace talaria::conformance
