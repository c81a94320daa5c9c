#include "tests/conformance/machine.h"

#include <algorithm>

#include "tests/conformance/error.h"

namespace talaria::conformance {

using namespace std::chrono_literals;

namespace {

// More turns than this without time passing, or deadlines without anything being sent, are a loop.
constexpr int turns_max = 100000;

}  // namespace

// Small, so that scripts reach the bounds; no keepalive, which would talk in between.
Settings::Settings() {
  tcp.connections = 8;
  tcp.half_open = 4;
  tcp.time_wait = 4;
  tcp.send_chunks = 512;
  tcp.shared_slices = 16;
  tcp.receive_chunks = 128;
  tcp.keepalive_idle = 0s;
  host.addresses = {{net::Ipv4Address{our_address}, 24}};
  host.announce = false;
  host.transmit_queue_max = 1024;
}

uint8_t stream_byte(const Conversation& conversation, bool from_peer, uint64_t offset) {
  return static_cast<uint8_t>(offset * 31 + (offset >> 8) * 7 + (from_peer ? 1 : 101) + conversation.peer_port);
}

Machine::Machine(const Settings& settings) : settings_(settings), device_(our_mac, settings.mtu) {
  host_.emplace(settings.host, device_, base::HashKey{1, 2});
  stack_.emplace(settings.tcp, *host_, base::HashKey{3, 4});
  stack_->listen(our_port);
  run();
}

void Machine::end() {
  stack_->check_invariants();
  if (size_t held = stack_->packets_held(); held != 0) throw Failure(std::to_string(held) + " packets are still held");
  stack_.reset();
  host_.reset();
  if (device_.outstanding != 0) throw Failure(std::to_string(device_.outstanding) + " packets did not come home");
}

Conversation& Machine::add(Conversation conversation) {
  conversations_.push_back(std::make_unique<Conversation>(std::move(conversation)));
  if (!settings_.arp_by_hand) introduce(*conversations_.back());
  return *conversations_.back();
}

Conversation* Machine::find(std::string_view name) {
  for (auto& conversation : conversations_)
    if (conversation->name == name) return conversation.get();
  return nullptr;
}

Conversation* Machine::find(uint32_t address, uint16_t peer_port, uint16_t local_port) {
  for (auto& conversation : conversations_)
    if (conversation->address == address && conversation->peer_port == peer_port &&
        conversation->local_port == local_port)
      return conversation.get();
  return nullptr;
}

// The peer asks who we are, and so says who it is.
void Machine::introduce(const Conversation& conversation) {
  arrive(write_arp({.request = true,
                    .sender_mac = conversation.mac,
                    .target_mac = {},
                    .sender = conversation.address,
                    .target = our_address},
                   conversation.mac, everybody));
  run();
}

void Machine::run() {
  for (int i = 0; i < turns_max; i++) {
    const size_t before = leaving.size();
    turn();
    if (!device_.arriving.empty()) continue;
    if (!stack_->has_output() || (leaving.size() == before && i > 0)) return;
  }
  throw Failure("the stack sends without end");
}

void Machine::turn() {
  while (host_->receive(now_) > 0) stack_->on_segments(host_->datagrams(), now_);
  host_->on_time(now_);
  stack_->on_time(now_);
  for (const tcp::Event& event : stack_->events()) on_event(event);
  for (auto& action : std::exchange(actions_, {})) action();
  stack_->clear_events();
  stack_->end_input(now_);
  stack_->output(now_);
  host_->flush();
  stack_->check_invariants();
  collect();
}

void Machine::collect() {
  for (const net::Frame& frame : std::exchange(device_.sent, {})) {
    Sent sent = read_frame(frame);
    if (sent.arp && !settings_.arp_by_hand) {
      for (auto& conversation : conversations_)
        if (sent.arp->request && conversation->address == sent.arp->target)
          arrive(write_arp({.request = false,
                            .sender_mac = conversation->mac,
                            .target_mac = our_mac,
                            .sender = conversation->address,
                            .target = our_address},
                           conversation->mac, our_mac));
      continue;
    }
    leaving.push_back({now_, std::move(sent)});
  }
  device_.offloaded.clear();
}

void Machine::advance(base::Time until) {
  for (int i = 0; i < turns_max; i++) {
    const base::Time next = std::min(stack_->next_deadline(), host_->next_deadline());
    if (next > until) {
      now_ = std::max(now_, until);
      return;
    }
    now_ = std::max(now_, next);
    const size_t before = leaving.size();
    run();
    if (leaving.size() != before) return;
  }
  throw Failure("a deadline of the stack passes and passes");
}

void Machine::on_event(const tcp::Event& event) {
  Conversation* conversation = nullptr;
  if (event.accepted || event.connected) {
    auto info = stack_->info(event.id, now_);
    if (info) conversation = find(info->remote.address.v4().value, info->remote.port, info->local.port);
    if (conversation) conversation->id = event.id;
  }
  for (auto& known : conversations_)
    if (!conversation && known->id == event.id) conversation = known.get();
  if (!conversation) return;  // of somebody in a crowd: scripts count those
  if (event.accepted) conversation->seen.push_back("accepted");
  if (event.connected) conversation->seen.push_back("connected");
  if (!conversation->paused) read(*conversation, SIZE_MAX);
  if (event.writable) conversation->seen.push_back("writable");
  if (event.peer_finished) conversation->seen.push_back("finished");
  if (event.closed) conversation->seen.push_back("closed " + std::string(tcp::to_text(event.reason)));
}

void Machine::read(Conversation& conversation, size_t most) {
  while (most > 0) {
    base::Bytes bytes = stack_->input(conversation.id);
    if (bytes.empty()) return;
    bytes = bytes.first(std::min(bytes.size(), most));
    for (uint8_t byte : bytes)
      if (byte != stream_byte(conversation, true, conversation.delivered++))
        throw Failure("the application got a wrong byte at offset " + std::to_string(conversation.delivered - 1));
    most -= bytes.size();
    stack_->consume(conversation.id, bytes.size());
  }
}

}  // namespace talaria::conformance
