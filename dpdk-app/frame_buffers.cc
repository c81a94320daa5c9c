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
  Watcher(const Filter& filter, const std::vector<size_t>& ports, uint32_t snap_length)
      : filter_(filter), ports_(ports), snap_length_(snap_length), ring(ring_bytes), counts(ports.size()) {}

  void see(size_t port, net::FrameWay way, const net::Packet& packet, base::Time now) override {
    const auto interface = static_cast<size_t>(std::find(ports_.begin(), ports_.end(), port) - ports_.begin());
    if (interface == ports_.size() || !filter_.takes(packet.bytes())) return;
    const bool kept = ring.push({.time = now,
                                 .length = packet.length,
                                 .inbound = way == net::FrameWay::in,
                                 .port = static_cast<uint8_t>(interface),
                                 .bytes = packet.bytes().first(std::min<size_t>(packet.length, snap_length_))});
    (kept ? counts[interface].kept : counts[interface].dropped).add();
  }

 private:
  const Filter& filter_;
  const std::vector<size_t>& ports_;
  uint32_t snap_length_;

 public:
  struct Counts {
    base::Counter kept, dropped;
  };
  FrameRing ring;
  std::vector<Counts> counts;  // by the file's interface
};

FrameBuffers::FrameBuffers(std::vector<std::string> ports, size_t workers, const TscClock& clock)
    : ports_(std::move(ports)), workers_(workers), clock_(clock) {}

FrameBuffers::~FrameBuffers() = default;

std::expected<void, std::string> FrameBuffers::open(const control::CaptureSettings& settings) {
  std::vector<size_t> chosen;
  std::string names;
  for (size_t port = 0; port < ports_.size(); port++) {
    if (settings.port.empty() || settings.port == ports_[port]) chosen.push_back(port);
    names += (port == 0 ? "" : ", ") + ports_[port];
  }
  if (chosen.empty())
    return std::unexpected("there is no port '" + settings.port + "', the broker's " +
                           (ports_.size() == 1 ? "is " : "are ") + names);
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
  chosen_ = std::move(chosen);
  for (size_t worker = 0; worker < workers_; worker++)
    watchers_.push_back(
        std::make_unique<Watcher>(*filter_, chosen_, settings.snap_length == 0 ? whole_frame : settings.snap_length));
  using std::chrono::nanoseconds;
  const auto wall = std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch());
  epoch_ns_ = static_cast<uint64_t>(wall.count()) - app::nanoseconds(clock_.now());
  file_.clear();
  tail_written_ = false;
  append_pcapng_head(file_, "talariad " + std::string(base::version));
  for (const size_t port : chosen_)
    append_pcapng_interface(file_,
                            {.name = ports_[port], .filter = settings.filter, .snap_length = settings.snap_length});
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
      if (last && !tail_written_) append_tails();
      tail_written_ |= last;
      break;
    }
    append_pcapng_frame(file_, {.time_ns = epoch_ns_ + nanoseconds(first.time),
                                .inbound = first.inbound,
                                .interface = first.port,
                                .queue = static_cast<uint32_t>(from),
                                .length = first.length,
                                .bytes = first.bytes});
    watchers_[from]->ring.pop();
  }
  return std::exchange(file_, {});
}

void FrameBuffers::append_tails() {
  for (size_t interface = 0; interface < chosen_.size(); interface++) {
    uint64_t kept = 0, dropped = 0;
    for (const auto& watcher : watchers_) {
      kept += watcher->counts[interface].kept.value();
      dropped += watcher->counts[interface].dropped.value();
    }
    append_pcapng_tail(file_, static_cast<uint32_t>(interface), epoch_ns_ + nanoseconds(clock_.now()), kept + dropped,
                       dropped);
  }
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
