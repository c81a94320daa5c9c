#include "dpdk-app/frame_buffers.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <chrono>

#include "core/base/version.h"
#include "core/net/frame_watcher.h"
#include "dpdk-app/frame_ring.h"
#include "dpdk-app/pcapng.h"

namespace talaria::app {
namespace {

constexpr uint32_t whole_frame = 262144;  // as tcpdump has it

uint64_t nanoseconds(base::Time time) { return static_cast<uint64_t>(time.time_since_epoch().count()); }

}  // namespace

// A compiled filter; running it changes nothing, so that all workers use the same one.
struct FrameBuffers::Filter {
  ~Filter() {
    if (compiled) pcap_freecode(&program);
  }
  bool takes(base::Bytes frame) const {
    if (!compiled) return true;
    pcap_pkthdr header{};
    header.len = header.caplen = static_cast<uint32_t>(frame.size());
    return pcap_offline_filter(&program, &header, frame.data()) != 0;
  }
  bpf_program program{};
  bool compiled = false;
};

class FrameBuffers::Watcher final : public net::FrameWatcher {
 public:
  Watcher(const Filter& filter, uint32_t snap_length) : filter_(filter), snap_length_(snap_length), ring(ring_bytes) {}

  void see(net::FrameWay way, const net::Packet& packet, base::Time now) override {
    if (!filter_.takes(packet.bytes())) return;
    ring.push({.time = now,
               .length = packet.length,
               .inbound = way == net::FrameWay::in,
               .bytes = packet.bytes().first(std::min<size_t>(packet.length, snap_length_))});
  }

 private:
  const Filter& filter_;
  uint32_t snap_length_;

 public:
  FrameRing ring;
};

FrameBuffers::FrameBuffers(std::string port, size_t workers, const TscClock& clock)
    : port_(std::move(port)), workers_(workers), clock_(clock) {}

FrameBuffers::~FrameBuffers() = default;

std::expected<void, std::string> FrameBuffers::open(const control::CaptureSettings& settings) {
  if (!settings.port.empty() && settings.port != port_)
    return std::unexpected("there is no port '" + settings.port + "', the broker's is " + port_);
  auto filter = std::make_unique<Filter>();
  if (!settings.filter.empty()) {
    pcap_t* compiler = pcap_open_dead(DLT_EN10MB, static_cast<int>(whole_frame));
    if (compiler == nullptr) return std::unexpected("no memory for a filter");
    filter->compiled = pcap_compile(compiler, &filter->program, settings.filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) == 0;
    const std::string error = pcap_geterr(compiler);
    pcap_close(compiler);
    if (!filter->compiled) return std::unexpected("the filter '" + settings.filter + "' is none: " + error);
  }
  filter_ = std::move(filter);
  for (size_t worker = 0; worker < workers_; worker++)
    watchers_.push_back(
        std::make_unique<Watcher>(*filter_, settings.snap_length == 0 ? whole_frame : settings.snap_length));
  using std::chrono::nanoseconds;
  const auto wall = std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
  epoch_ns_ = static_cast<uint64_t>(wall.count()) - app::nanoseconds(clock_.now());
  file_.clear();
  tail_written_ = false;
  append_pcapng_head(file_, "talariad " + std::string(base::version),
                     {.name = port_, .filter = settings.filter, .snap_length = settings.snap_length});
  return {};
}

std::vector<net::FrameWatcher*> FrameBuffers::watchers() {
  std::vector<net::FrameWatcher*> all;
  for (const auto& watcher : watchers_) all.push_back(watcher.get());
  return all;
}

// A worker's frames stand in the order of their times; the workers' are merged.
std::string FrameBuffers::take(size_t bytes_max, bool last) {
  while (file_.size() < bytes_max) {
    FrameRing::Frame first;
    size_t from = watchers_.size();
    for (size_t worker = 0; worker < watchers_.size(); worker++)
      if (FrameRing::Frame frame;
          watchers_[worker]->ring.front(frame) && (from == watchers_.size() || frame.time < first.time)) {
        first = frame;
        from = worker;
      }
    if (from == watchers_.size()) {
      if (last && !tail_written_)
        append_pcapng_tail(file_, epoch_ns_ + nanoseconds(clock_.now()), frames() + dropped(), dropped());
      tail_written_ |= last;
      break;
    }
    append_pcapng_frame(file_, {.time_ns = epoch_ns_ + nanoseconds(first.time),
                                .inbound = first.inbound,
                                .queue = static_cast<uint32_t>(from),
                                .length = first.length,
                                .bytes = first.bytes});
    watchers_[from]->ring.pop();
  }
  return std::exchange(file_, {});
}

uint64_t FrameBuffers::frames() const {
  uint64_t sum = 0;
  for (const auto& watcher : watchers_) sum += watcher->ring.pushed();
  return sum;
}

uint64_t FrameBuffers::dropped() const {
  uint64_t sum = 0;
  for (const auto& watcher : watchers_) sum += watcher->ring.dropped();
  return sum;
}

void FrameBuffers::close() {
  watchers_.clear();
  filter_.reset();
  file_ = {};
}

}  // namespace talaria::app
