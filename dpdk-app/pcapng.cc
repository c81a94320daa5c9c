#include "dpdk-app/pcapng.h"

#include <cstring>

namespace talaria::app {
namespace {

constexpr uint32_t section_block = 0x0a0d0d0a, interface_block = 1, statistics_block = 5, frame_block = 6;
constexpr uint32_t byte_order = 0x1a2b3c4d;
constexpr uint16_t link_ethernet = 1;

// Options of a block, by the code that its kind gives them.
constexpr uint16_t end_of_options = 0;
constexpr uint16_t section_program = 4;
constexpr uint16_t interface_name = 2, interface_resolution = 9, interface_filter = 11;
constexpr uint16_t frame_flags = 2, frame_queue = 6;
constexpr uint16_t statistics_received = 4, statistics_dropped = 5;

// The file is in this machine's byte order, which its first block tells.
template <class T>
void append(std::string& file, T value) {
  file.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void pad(std::string& file, size_t bytes) { file.append((4 - bytes % 4) % 4, '\0'); }

void append_option(std::string& file, uint16_t code, std::string_view value) {
  append(file, code);
  append(file, static_cast<uint16_t>(value.size()));
  file.append(value);
  pad(file, value.size());
}
template <class T>
void append_number(std::string& file, uint16_t code, T value) {
  append_option(file, code, {reinterpret_cast<const char*>(&value), sizeof value});
}
void append_time(std::string& file, uint64_t time_ns) {
  append(file, static_cast<uint32_t>(time_ns >> 32));
  append(file, static_cast<uint32_t>(time_ns));
}

size_t begin_block(std::string& file, uint32_t type) {
  const size_t at = file.size();
  append(file, type);
  append(file, uint32_t{0});
  return at;
}
void end_block(std::string& file, size_t at, bool options) {
  if (options) append_option(file, end_of_options, {});
  const auto length = static_cast<uint32_t>(file.size() - at + sizeof(uint32_t));
  append(file, length);
  std::memcpy(file.data() + at + sizeof(uint32_t), &length, sizeof length);
}

}  // namespace

void append_pcapng_head(std::string& file, std::string_view program) {
  const size_t at = begin_block(file, section_block);
  append(file, byte_order);
  append(file, uint16_t{1});
  append(file, uint16_t{0});
  append(file, ~uint64_t{0});  // the section's length: not known
  append_option(file, section_program, program);
  end_block(file, at, true);
}

void append_pcapng_interface(std::string& file, const PcapngInterface& interface) {
  const size_t at = begin_block(file, interface_block);
  append(file, link_ethernet);
  append(file, uint16_t{0});
  append(file, interface.snap_length);
  append_option(file, interface_name, interface.name);
  append_number(file, interface_resolution, uint8_t{9});
  if (!interface.filter.empty()) append_option(file, interface_filter, std::string(1, '\0').append(interface.filter));
  end_block(file, at, true);
}

void append_pcapng_frame(std::string& file, const PcapngFrame& frame) {
  const size_t at = begin_block(file, frame_block);
  append(file, frame.interface);
  append_time(file, frame.time_ns);
  append(file, static_cast<uint32_t>(frame.bytes.size()));
  append(file, frame.length);
  file.append(reinterpret_cast<const char*>(frame.bytes.data()), frame.bytes.size());
  pad(file, frame.bytes.size());
  append_number(file, frame_flags, frame.inbound ? uint32_t{1} : uint32_t{2});
  append_number(file, frame_queue, frame.queue);
  end_block(file, at, true);
}

void append_pcapng_tail(std::string& file, uint32_t interface, uint64_t time_ns, uint64_t received, uint64_t dropped) {
  const size_t at = begin_block(file, statistics_block);
  append(file, interface);
  append_time(file, time_ns);
  append_number(file, statistics_received, received);
  append_number(file, statistics_dropped, dropped);
  end_block(file, at, true);
}

}  // namespace talaria::app
