#include "tests/conformance/interpreter.h"

#include <algorithm>
#include <cctype>

#include "tests/conformance/error.h"

namespace talaria::conformance {

using namespace std::chrono_literals;

namespace {

// Timers have ticks of a millisecond and never fire early.
constexpr base::Duration late_max = 2ms;

base::Duration duration_of(std::string_view word) {
  size_t digits = 0;
  while (digits < word.size() && (std::isdigit(static_cast<unsigned char>(word[digits])) || word[digits] == '.'))
    digits++;
  const std::string_view unit = word.substr(digits);
  const double nanoseconds = unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : unit == "d" ? 86400e9 : 0;
  if (digits == 0 || nanoseconds == 0) throw Failure("\"" + std::string(word) + "\" is no time");
  return base::Duration(static_cast<int64_t>(std::stod(std::string(word.substr(0, digits))) * nanoseconds + 0.5));
}

std::string text_of(base::Duration duration) {
  const int64_t microseconds = duration / 1us;
  if (microseconds % 1000 != 0) return std::to_string(microseconds) + "us";
  if (microseconds % 1000000 != 0) return std::to_string(microseconds / 1000) + "ms";
  return std::to_string(microseconds / 1000000) + "s";
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

void put32(std::vector<uint8_t>& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

}  // namespace

void Interpreter::run() {
  try {
    run_lines(0, script_.lines.size());
    machine();
    nothing_unexpected("the end");
    for (const char* name : {"a", "b", "c", "d", "e"})
      if (Conversation* conversation = machine_->find(name); conversation && !conversation->seen.empty())
        throw Failure("the application of peer " + conversation->name + " saw \"" + conversation->seen.front() +
                      "\", which no line expects");
    machine_->end();
  } catch (const std::exception& error) {
    throw Failure(script_.path + ":" + std::to_string(line_) + ": " + error.what());
  }
}

// ---- lines and blocks -----------------------------------------------------------------------------------------------

size_t Interpreter::end_of_block(size_t first, size_t last) const {
  int depth = 1;
  for (size_t at = first; at < last; at++) {
    if (script_.lines[at].text == "}" && --depth == 0) return at;
    if (script_.lines[at].text.ends_with("{")) depth++;
  }
  throw Failure("a } is missing");
}

void Interpreter::run_lines(size_t first, size_t last) {
  for (size_t at = first; at < last; at++) {
    line_ = script_.lines[at].number;
    const std::string& text = script_.lines[at].text;
    if (!text.ends_with("{")) {
      run_line(text);
      continue;
    }
    const size_t end = end_of_block(at + 1, last);
    const Words words = words_of(substitute(text, lookup()));
    if (words[0] == "together") {
      together_ = true;
      run_lines(at + 1, end);
      together_ = false;
      machine().run();
    } else if (words[0] == "for" && words.size() == 5 && words[2] == "in") {
      const size_t dots = words[3].find("..");
      if (dots == std::string::npos) throw Failure("for NAME in A..B {");
      const int64_t from = evaluate(words[3].substr(0, dots), lookup());
      const int64_t to = evaluate(words[3].substr(dots + 2), lookup());
      for (int64_t i = from; i <= to; i++) {
        values_[words[1]] = i;
        run_lines(at + 1, end);
      }
    } else {
      throw Failure("\"" + words[0] + "\" begins no block");
    }
    at = end;
  }
}

// `+40ms`, or `+1s..2s`.
Interpreter::Wait Interpreter::take_wait(std::string& text) const {
  Wait wait;
  if (text[0] != '+') return wait;
  const size_t end = std::min(text.find(' '), text.size());
  const std::string word = text.substr(1, end - 1);
  const size_t dots = word.find("..");
  wait.given = true;
  wait.least = duration_of(word.substr(0, dots));
  wait.most = dots == std::string::npos ? wait.least + late_max : duration_of(word.substr(dots + 2));
  text = std::string(trimmed(std::string_view(text).substr(end)));
  return wait;
}

void Interpreter::run_line(std::string text) {
  if (text.starts_with("let ")) {
    const size_t equal = text.find('=');
    if (equal == std::string::npos) throw Failure("let NAME = EXPRESSION");
    values_[std::string(trimmed(std::string_view(text).substr(4, equal - 4)))] =
        evaluate(text.substr(equal + 1), lookup());
    return;
  }
  if (text.starts_with("check ")) {
    const std::string statement = text.substr(6);
    if (evaluate(statement, lookup()) != 0) return;
    const size_t sign = statement.find_first_of("=!<>");
    const std::string left = statement.substr(0, sign);
    throw Failure("not so: " + statement + " (" + std::string(trimmed(left)) + " is " +
                  std::to_string(evaluate(left, lookup())) + ")");
  }
  text = substitute(text, lookup());
  const Wait wait = take_wait(text);
  if (wait.given && !text.starts_with(">")) {
    nothing_unexpected("time passes");
    const base::Time until = machine().now() + wait.least;
    machine_->advance(until);
    if (machine_->now() < until || !machine_->leaving.empty()) nothing_unexpected("this time is over");
    if (text.empty()) return;
  }
  if (text[0] == '<') return inject(std::string_view(text).substr(1));
  if (text[0] == '>') return expect(std::string_view(text).substr(1), wait);
  const Words words = words_of(text);
  if (words[0] == "config") return configure(words);
  if (words[0] == "peer") return converse(words);
  if (words[0] == "established") return establish(std::string_view(text).substr(words[0].size()));
  if (words[0] == "application") return application(words);
  if (words[0] == "port" && words.size() == 2) {
    machine().device().transmit_room = words[1] == "stops" ? 0 : SIZE_MAX;
    if (words[1] != "stops" && words[1] != "goes") throw Failure("port stops, or port goes");
    return step();
  }
  throw Failure("\"" + words[0] + "\" is nothing a script can say");
}

void Interpreter::step() {
  if (!together_) machine().run();
}

void Interpreter::nothing_unexpected(std::string_view before) {
  if (machine().leaving.empty()) return;
  const auto& first = machine_->leaving.front();
  throw Failure("the stack sent what no line before " + std::string(before) + " expects\n    received > " +
                to_text(first.sent, *machine_) + "    (" + std::to_string(machine_->leaving.size()) + " in all)");
}

// ---- what there is --------------------------------------------------------------------------------------------------

Machine& Interpreter::machine() {
  if (!machine_) {
    machine_ = std::make_unique<Machine>(settings_);
    current_ = &machine_->add({.name = "a", .mac = {2, 0, 0, 0, 0, 2}});
  }
  return *machine_;
}

void Interpreter::configure(const Words& words) {
  if (machine_) throw Failure("config stands before everything else");
  if (words.size() != 3) throw Failure("config NAME VALUE");
  tcp::Config& tcp = settings_.tcp;
  net::HostConfig& host = settings_.host;
  const std::string &name = words[1], &value = words[2];
  const std::map<std::string_view, size_t*> sizes = {
      {"connections", &tcp.connections},
      {"half_open", &tcp.half_open},
      {"time_wait", &tcp.time_wait},
      {"send_chunks", &tcp.send_chunks},
      {"receive_chunks", &tcp.receive_chunks},
      {"neighbors_max", &host.neighbors_max},
      {"unresolved_packets_max", &host.unresolved_packets_max},
      {"unresolved_packets_per_neighbor", &host.unresolved_packets_per_neighbor}};
  const std::map<std::string_view, uint32_t*> numbers = {{"receive_window", &tcp.receive_window},
                                                         {"retransmits_max", &tcp.retransmits_max},
                                                         {"syn_retransmits_max", &tcp.syn_retransmits_max},
                                                         {"keepalive_probes", &tcp.keepalive_probes},
                                                         {"challenge_acks_per_second", &tcp.challenge_acks_per_second},
                                                         {"resets_per_second", &tcp.resets_per_second},
                                                         {"quick_acks", &tcp.quick_acks},
                                                         {"lossy_segments", &tcp.lossy_segments},
                                                         {"connections_per_source", &tcp.connections_per_source},
                                                         {"handshakes_per_source", &tcp.handshakes_per_source},
                                                         {"unreachables_per_second", &host.unreachables_per_second},
                                                         {"resolve_attempts", &host.resolve_attempts}};
  const std::map<std::string_view, base::Duration*> times = {{"rto_min", &tcp.rto_min},
                                                             {"rto_max", &tcp.rto_max},
                                                             {"delayed_ack", &tcp.delayed_ack},
                                                             {"keepalive_idle", &tcp.keepalive_idle},
                                                             {"keepalive_interval", &tcp.keepalive_interval},
                                                             {"time_wait_duration", &tcp.time_wait_duration},
                                                             {"fin_wait_2_timeout", &tcp.fin_wait_2_timeout},
                                                             {"linger_timeout", &tcp.linger_timeout},
                                                             {"neighbor_lifetime", &host.neighbor_lifetime}};
  if (auto found = sizes.find(name); found != sizes.end())
    *found->second = number_of(value);
  else if (auto number = numbers.find(name); number != numbers.end())
    *number->second = static_cast<uint32_t>(number_of(value));
  else if (auto time = times.find(name); time != times.end())
    *time->second = duration_of(value);
  else if (name == "mtu")
    settings_.mtu = static_cast<uint16_t>(number_of(value));
  else if (name == "timestamps")
    tcp.timestamps = value == "on";
  else if (name == "sack")
    tcp.selective_acknowledgement = value == "on";
  else if (name == "announce")
    host.announce = value == "on";
  else if (name == "arp" && value == "by-hand")
    settings_.arp_by_hand = true;
  else
    throw Failure("there is no config " + name + " " + value);
}

// peer NAME [port N] [local N] [isn N] [address A]: from here on the segments are this conversation's.
void Interpreter::converse(const Words& words) {
  machine();
  if (words.size() % 2 != 0) throw Failure("peer NAME [port N] [local N] [isn N] [address A]");
  Conversation* known = machine_->find(words[1]);
  Conversation made{.name = words[1], .mac = {2, 0, 0, 0, 0, 2}};
  if (!known) made.peer_port = static_cast<uint16_t>(40000 + words[1][0] - 'a');
  Conversation& changed = known ? *known : made;
  for (size_t at = 2; at < words.size(); at += 2) {
    if (words[at] == "port")
      changed.peer_port = static_cast<uint16_t>(number_of(words[at + 1]));
    else if (words[at] == "local")
      changed.local_port = static_cast<uint16_t>(number_of(words[at + 1]));
    else if (words[at] == "isn")
      changed.peer_isn = static_cast<uint32_t>(number_of(words[at + 1]));
    else if (words[at] == "forgets") {  // it begins anew: the numbers of our side are learned again
      changed.our_isn.reset();
      changed.delivered = changed.told = changed.written = 0;
      changed.peer_scale.reset();
      changed.our_scale.reset();
    } else if (words[at] == "address" && !known) {
      changed.address = address_of(words[at + 1]);
      changed.mac[5] = static_cast<uint8_t>(changed.address);
    } else {
      throw Failure("a peer has no \"" + words[at] + "\"");
    }
  }
  current_ = known ? known : &machine_->add(std::move(made));
}

// The three segments of a passive open, for scripts that are about what comes after it.
void Interpreter::establish(std::string_view rest) {
  machine();
  Words words = words_of(rest);
  words.insert(words.begin(), {"S", "0:0(0)"});
  SegmentLine line = read_segment_line(words);
  if (!line.mss) line.mss = 1460;
  machine_->arrive(frame_of(line, current(), machine_->now()));
  machine_->run();
  if (machine_->leaving.size() != 1 || !machine_->leaving[0].sent.segment)
    throw Failure("no SYN-ACK answered the SYN of `established`");
  const WireSegment answer = *machine_->leaving[0].sent.segment;
  machine_->leaving.clear();
  if (answer.flags != (syn | ack)) throw Failure("the answer is " + to_text(answer, current_));
  SegmentLine expected{.flags = syn | ack,
                       .mss = answer.mss,
                       .window_scale = answer.window_scale,
                       .sack_permitted = answer.sack_permitted};
  if (auto differs = difference(expected, answer, current()); !differs.empty()) throw Failure(differs);
  SegmentLine last{.flags = ack, .start = 1};
  machine_->arrive(frame_of(last, current(), machine_->now()));
  machine_->run();
  nothing_unexpected("the connection is open");
  sees("accepted");
}

// ---- in -------------------------------------------------------------------------------------------------------------

void Interpreter::inject(std::string_view rest) {
  machine();
  if (!together_) nothing_unexpected("this one arrives");
  const Words words = words_of(rest);
  if (words.empty()) throw Failure("what arrives?");
  Frame frame;
  if (words[0] == "arp")
    frame = arp_frame(words);
  else if (words[0] == "icmp")
    frame = icmp_frame(words);
  else if (words[0] == "udp")
    frame = udp_frame(words);
  else
    frame = frame_of(read_segment_line(words), current(), machine_->now());
  machine_->arrive(std::move(frame));
  step();
}

// < arp request|reply sender ADDRESS MAC target ADDRESS
Frame Interpreter::arp_frame(const Words& words) {
  if (words.size() != 7 || words[2] != "sender" || words[5] != "target")
    throw Failure("arp request|reply sender ADDRESS MAC target ADDRESS");
  const bool request = words[1] == "request";
  WireArp arp{.request = request, .sender_mac = mac_of(words[4]), .target_mac = request ? Mac{} : our_mac};
  arp.sender = address_of(words[3]);
  arp.target = address_of(words[6]);
  return write_arp(arp, arp.sender_mac, request ? everybody : our_mac);
}

// < icmp echo [LENGTH] | frag-needed MTU | port-unreachable | host-unreachable | protocol-unreachable | time-exceeded |
//   source-quench   [quoting START:END(LENGTH)] [from ADDRESS] [to ADDRESS] [mac MAC] [broken checksum]
Frame Interpreter::icmp_frame(const Words& words) {
  struct Kind {
    uint8_t type, code;
  };
  static const std::map<std::string_view, Kind> kinds = {{"echo", {8, 0}},
                                                         {"frag-needed", {3, 4}},
                                                         {"port-unreachable", {3, 3}},
                                                         {"host-unreachable", {3, 1}},
                                                         {"protocol-unreachable", {3, 2}},
                                                         {"time-exceeded", {11, 0}},
                                                         {"source-quench", {4, 0}},
                                                         {"redirect", {5, 1}}};
  if (words.size() < 2 || !kinds.contains(words[1])) throw Failure("there is no such icmp");
  const Kind kind = kinds.at(words[1]);
  WireIcmp message{.source = current().address, .destination = our_address, .type = kind.type, .code = kind.code};
  Mac to = our_mac;
  bool broken = false;
  uint32_t number = 0;
  size_t at = 2;
  if (at < words.size() && std::isdigit(static_cast<unsigned char>(words[at][0])))
    number = static_cast<uint32_t>(number_of(words[at++]));
  put32(message.body, words[1] == "echo" ? 0x00070001u : words[1] == "frag-needed" ? number : 0);
  if (words[1] == "echo") message.body.resize(message.body.size() + number, 0x5a);
  for (; at + 1 < words.size(); at += 2) {
    if (words[at] == "from")
      message.source = address_of(words[at + 1]);
    else if (words[at] == "to")
      message.destination = address_of(words[at + 1]);
    else if (words[at] == "mac")
      to = mac_of(words[at + 1]);
    else if (words[at] == "broken")
      broken = true;
    else if (words[at] == "quoting") {
      // The IP header of our segment and its first eight bytes, as a router sends them back (RFC 792).
      SegmentLine line = read_segment_line({".", words[at + 1]});
      WireSegment ours{.source = our_address,
                       .destination = current().address,
                       .source_port = current().local_port,
                       .destination_port = current().peer_port,
                       .sequence = current().our_isn.value_or(0) + line.start};
      ours.flags = ack;
      ours.payload.resize(line.length);
      Frame quoted = write_ipv4(6, ours.source, ours.destination, write_tcp(ours), {}, {});
      message.body.insert(message.body.end(), quoted.begin() + 14, quoted.begin() + 14 + 28);
    } else {
      throw Failure("icmp has no \"" + words[at] + "\"");
    }
  }
  if (at != words.size()) throw Failure("something is missing behind \"" + words[at] + "\"");
  return write_ipv4(1, message.source, message.destination, write_icmp(message, broken), current().mac, to);
}

// < udp PORT [to ADDRESS] [mac MAC]
Frame Interpreter::udp_frame(const Words& words) {
  if (words.size() < 2) throw Failure("udp PORT [to ADDRESS] [mac MAC]");
  uint32_t to = our_address;
  Mac mac = our_mac;
  for (size_t at = 2; at + 1 < words.size(); at += 2) {
    if (words[at] == "to") to = address_of(words[at + 1]);
    if (words[at] == "mac") mac = mac_of(words[at + 1]);
  }
  std::vector<uint8_t> datagram;
  put32(datagram, uint32_t{current().peer_port} << 16 | static_cast<uint32_t>(number_of(words[1])));
  put32(datagram, 8u << 16);
  return write_ipv4(17, current().address, to, datagram, current().mac, mac);
}

// ---- out ------------------------------------------------------------------------------------------------------------

void Interpreter::expect(std::string_view rest, const Wait& wait) {
  machine();
  if (together_) throw Failure("nothing leaves before the end of together");
  rest = trimmed(rest);
  if (rest == "nothing") return nothing_unexpected("this");
  if (rest == "any") return expect_any(wait);
  if (rest.find(" of ") != std::string_view::npos) return expect_many(rest);
  const base::Time start = machine_->now();
  if (wait.given && wait.least > 0ms) nothing_unexpected("this time is over");
  if (wait.given && machine_->leaving.empty()) machine_->advance(start + wait.most);
  if (machine_->leaving.empty())
    throw Failure("expected > " + std::string(rest) + "\n    received nothing" +
                  (wait.given ? " in " + text_of(machine_->now() - start) : ""));
  const auto [at, sent] = machine_->leaving.front();
  if (wait.given && at < start + wait.least)
    throw Failure("expected > " + std::string(rest) + " after " + text_of(wait.least) + "\n    received > " +
                  to_text(sent, *machine_) + " after " + text_of(at - start));
  const std::string said = to_text(sent, *machine_);
  if (std::string differs = mismatch(sent, words_of(rest)); !differs.empty())
    throw Failure("expected > " + std::string(rest) + "\n    received > " + said + "\n    " + differs);
  machine_->leaving.pop_front();
}

// > any: whatever left, and with a time what leaves in that time. `dropped` says how many.
void Interpreter::expect_any(const Wait& wait) {
  const base::Time until = machine_->now() + wait.least;
  while (wait.given && machine_->now() < until) machine_->advance(until);
  values_["dropped"] = static_cast<int64_t>(machine_->leaving.size());
  for (const auto& [at, sent] : machine_->leaving)
    if (sent.segment)
      if (Conversation* to =
              machine_->find(sent.segment->destination, sent.segment->destination_port, sent.segment->source_port))
        remember(*sent.segment, *to);
  machine_->leaving.clear();
}

// > 2..5 of SEGMENT: so many of these have left, and nothing else.
void Interpreter::expect_many(std::string_view rest) {
  const size_t of = rest.find(" of ");
  const std::string_view range = rest.substr(0, of);
  const size_t dots = range.find("..");
  const uint64_t least = number_of(range.substr(0, dots));
  const uint64_t most = dots == std::string_view::npos ? least : number_of(range.substr(dots + 2));
  uint64_t count = 0;
  for (; !machine_->leaving.empty(); count++) {
    const Sent sent = machine_->leaving.front().sent;
    const std::string said = to_text(sent, *machine_);
    if (std::string differs = mismatch(sent, words_of(rest.substr(of + 4))); !differs.empty())
      throw Failure("expected > " + std::string(rest) + "\n    received > " + said + " as number " +
                    std::to_string(count + 1) + "\n    " + differs);
    machine_->leaving.pop_front();
  }
  values_["dropped"] = static_cast<int64_t>(count);
  if (count < least || count > most)
    throw Failure("expected > " + std::string(rest) + "\n    received " + std::to_string(count) + " of them");
}

std::string Interpreter::mismatch(const Sent& sent, const Words& words) {
  if (words.empty()) throw Failure("what leaves?");
  if (words[0] == "arp") {
    if (!sent.arp) return "it is no ARP message";
    if (words.size() != 6 || words[2] != "sender" || words[4] != "target")
      throw Failure("arp request|reply sender ADDRESS target ADDRESS");
    const bool same = sent.arp->request == (words[1] == "request") && sent.arp->sender == address_of(words[3]) &&
                      sent.arp->target == address_of(words[5]) && sent.arp->sender_mac == our_mac;
    return same ? "" : "the ARP message differs";
  }
  if (words[0] == "icmp") {
    if (!sent.icmp) return "it is no ICMP message";
    const std::string kind = sent.icmp->type == 0 ? "echo-reply" : sent.icmp->type == 3 ? "port-unreachable" : "other";
    return words.size() == 2 && words[1] == kind ? "" : "the ICMP message is " + kind;
  }
  if (!sent.segment) return "it is no segment";
  if (sent.segment->destination != current().address || sent.segment->destination_port != current().peer_port)
    return "it goes to another peer";
  const std::string differs = difference(read_segment_line(words), *sent.segment, current());
  if (!differs.empty()) return differs;
  const WireSegment& segment = *sent.segment;
  values_["last.window"] = segment.window;
  values_["last.timestamp"] = segment.timestamp ? segment.timestamp->value : 0;
  values_["last.dont_fragment"] = segment.dont_fragment;
  values_["last.edge"] =
      segment.acknowledgement - current().peer_isn +
      (int64_t{segment.window} << (current().both_scale() && (segment.flags & syn) == 0 ? *current().our_scale : 0));
  return {};
}

// ---- the application ------------------------------------------------------------------------------------------------

void Interpreter::application(const Words& words) {
  machine();
  if (words.size() < 2) throw Failure("what does the application do?");
  Conversation& conversation = current();
  if (words[1] == "sees") {
    if (words.size() < 3) throw Failure("application sees what?");
    std::string event = words[2];
    for (size_t at = 3; at < words.size(); at++) event += " " + words[at];
    return sees(event);
  }
  if (words[1] == "got") {
    const uint64_t got = conversation.delivered - conversation.told;
    conversation.told = conversation.delivered;
    if (words.size() != 3) throw Failure("application got N");
    if (got != number_of(words[2]))
      throw Failure("expected: the application got " + words[2] + " bytes\n    it got " + std::to_string(got));
    return;
  }
  if (!together_) nothing_unexpected("the application does this");
  application_does(words);
  step();
}

void Interpreter::application_does(const Words& words) {
  Conversation* conversation = current_;
  Machine* machine = machine_.get();
  const bool counts = words.size() > 2 && std::isdigit(static_cast<unsigned char>(words[2][0]));
  const uint64_t number = counts ? number_of(words[2]) : 0;
  const std::string& verb = words[1];
  if (verb == "pauses") {
    conversation->paused = true;
  } else if (verb == "goes") {  // application goes on
    conversation->paused = false;
    machine->act([=] { machine->read(*conversation, SIZE_MAX); });
  } else if (verb == "reads") {
    machine->act([=] { machine->read(*conversation, number); });
  } else if (verb == "writes") {
    std::vector<uint8_t> bytes;
    for (uint64_t i = 0; i < number; i++) bytes.push_back(stream_byte(*conversation, false, conversation->written++));
    machine->act([=] {
      if (!machine->stack().send(conversation->id, bytes)) throw Failure("the stack takes no more to send");
    });
  } else if (verb == "cannot") {  // application cannot write N
    machine->act([=, count = number_of(words.at(3))] {
      std::vector<uint8_t> bytes(count);
      if (machine->stack().send(conversation->id, bytes)) throw Failure("the stack takes this to send");
    });
  } else if (verb == "closes") {
    machine->act([=] { machine->stack().close(conversation->id); });
  } else if (verb == "aborts") {
    machine->act([=] { machine->stack().abort(conversation->id); });
  } else if (verb == "connects") {
    // Peer and port are those of the conversation.
    machine->act([=] {
      auto made = machine->stack().connect({net::Ipv4Address{conversation->address}, conversation->peer_port},
                                           conversation->local_port, machine->now());
      if (!made) throw Failure("the stack does not connect");
      conversation->id = *made;
    });
  } else if (verb == "listens") {
    machine->stack().listen(static_cast<uint16_t>(number));
  } else {
    throw Failure("an application does not \"" + verb + "\"");
  }
}

void Interpreter::sees(const std::string& event) {
  auto& seen = current().seen;
  if (event == "nothing") {
    if (!seen.empty()) throw Failure("expected: the application sees nothing\n    it saw \"" + seen.front() + "\"");
    return;
  }
  if (seen.empty()) throw Failure("expected: the application sees " + event + "\n    it saw nothing");
  if (seen.front() != event)
    throw Failure("expected: the application sees " + event + "\n    it saw \"" + seen.front() + "\"");
  seen.pop_front();
}

// ---- values ---------------------------------------------------------------------------------------------------------

int64_t Interpreter::look_up(std::string_view name) {
  if (auto known = values_.find(name); known != values_.end()) return known->second;
  machine();
  std::optional<int64_t> value;
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view of = name.substr(0, dot), what = name.substr(dot + 1);
    auto visit = [&](std::string_view counter, uint64_t count) {
      if (counter == what) value = static_cast<int64_t>(count);
    };
    if (of == "tcp") machine_->stack().counters().for_each(visit);
    if (of == "net") machine_->host().counters().for_each(visit);
    if (Conversation* conversation = of == "connection" ? current_ : machine_->find(of))
      value = connection_value(*conversation, what);
  } else if (name == "now") {
    value = machine_->now().time_since_epoch() / 1ms;
  } else {
    for (auto state = tcp::State::closed; state <= tcp::State::last_ack;
         state = static_cast<tcp::State>(static_cast<uint8_t>(state) + 1))
      if (tcp::to_text(state) == name) value = static_cast<int64_t>(state);
  }
  if (!value) throw Failure("there is no value \"" + std::string(name) + "\"");
  return *value;
}

std::optional<int64_t> Interpreter::connection_value(const Conversation& conversation, std::string_view name) {
  if (name == "isn") return int64_t{conversation.our_isn.value_or(0)};
  auto info = machine_->stack().info(conversation.id, machine_->now());
  if (name == "state") return static_cast<int64_t>(info ? info->state : tcp::State::closed);
  if (!info) throw Failure("peer " + conversation.name + " has no connection");
  const std::map<std::string_view, int64_t> values = {{"cwnd", info->congestion_window},
                                                      {"ssthresh", info->slow_start_threshold},
                                                      {"mss", info->send_mss},
                                                      {"in_flight", info->in_flight},
                                                      {"queued", static_cast<int64_t>(info->queued)},
                                                      {"send_window", info->send_window},
                                                      {"receive_window", info->receive_window},
                                                      {"unread", info->unread},
                                                      {"retransmits", static_cast<int64_t>(info->retransmits)},
                                                      {"timeouts", static_cast<int64_t>(info->timeouts)},
                                                      {"rto_ms", info->rto / 1ms},
                                                      {"rtt_us", info->rtt / 1us}};
  if (auto found = values.find(name); found != values.end()) return found->second;
  return {};
}

}  // namespace talaria::conformance
