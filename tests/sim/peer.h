// The independent peer: a small TCP written from RFC 9293 and nothing else, so that a bug of the stack meets no twin.
//
// Deliberately simple: a fixed retransmission timeout, go-back-N from the first unacknowledged byte, a fixed number of
// bytes in flight instead of congestion control (one segment after several timeouts in a row), out-of-order segments
// are thrown away, every segment is acknowledged at once. It offers timestamps, window scaling and selective
// acknowledgements when told to (and then ignores the SACK blocks it is sent), and can be as awkward as small devices
// are: tiny windows, tiny segments.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "tests/sim/byte_stream.h"
#include "tests/sim/network.h"
#include "tests/sim/peer_segment.h"

namespace talaria::sim {

struct PeerConfig {
  std::string name;
  net::MacAddress mac{};
  uint32_t address = 0;
  Link up, down;
  uint16_t mss = 1460;  // announced, and never exceeded
  uint32_t receive_buffer = 32 * 1024;
  uint32_t in_flight_max = 16 * 1024;  // bytes sent and not acknowledged
  uint32_t send_buffer = 64 * 1024;
  Duration timeout = 300ms;
  Duration time_wait = 240s;    // two MSL (RFC 9293 3.4.2): a last FIN that was lost again and again finds somebody
  uint32_t timeouts_max = 400;  // in a row, then the connection is given up
  std::optional<uint8_t> window_scale;
  bool timestamps = false;
  bool sack_permitted = false;
  bool near_wrap = false;  // initial sequence numbers shortly before they wrap
};

class PeerHost;

class PeerStream final : public ByteStream {
 public:
  struct Tuple {
    uint32_t remote = 0;
    uint16_t remote_port = 0, local_port = 0;
    auto operator<=>(const Tuple&) const = default;
  };

  PeerStream(PeerHost& host, Tuple tuple, uint32_t initial_sequence);

  State state() const override;
  std::string_view failure() const override { return failure_; }
  base::Bytes input() override { return base::Bytes(received_).subspan(read_); }
  void consume(size_t count) override;
  size_t send(base::Bytes bytes) override;
  void close() override { close_wanted_ = true; }
  void abort() override;

 private:
  friend class PeerHost;

  void open_actively(Time now);
  void on_segment(const PeerSegment& segment, Time now);
  void on_handshake(const PeerSegment& segment, Time now);
  void on_acknowledgement(const PeerSegment& segment, Time now);
  bool on_data(const PeerSegment& segment);
  void take_options(const PeerSegment& segment);
  void on_time(Time now);
  void push(Time now);
  void emit(uint32_t sequence, size_t count, bool fin, Time now);
  void emit_syn(Time now);
  void emit_ack(Time now);
  PeerSegment header(Time now);
  void die(std::string_view why);

  bool synchronised() const { return phase_ == Phase::established; }
  bool everything_acknowledged() const { return acknowledged_ == sent_max_; }
  uint32_t room() const;
  uint32_t end_of_queue() const { return acknowledged_ + static_cast<uint32_t>(queue_.size()); }

  enum class Phase : uint8_t { syn_sent, syn_received, established, time_wait, dead };

  PeerHost& host_;
  Tuple tuple_;
  Phase phase_ = Phase::syn_sent;
  std::string failure_;

  // Sending. Sequence numbers; queue_[0] is the byte `acknowledged_`.
  std::deque<uint8_t> queue_;
  uint32_t acknowledged_, next_, sent_max_;
  uint32_t window_ = 0;
  uint8_t window_shift_ = 0;
  uint16_t mss_ = 536;
  bool close_wanted_ = false, fin_sent_ = false, fin_acknowledged_ = false;
  uint32_t fin_sequence_ = 0;

  // Receiving.
  std::vector<uint8_t> received_;
  size_t read_ = 0;
  uint32_t expected_ = 0;
  uint32_t advertised_ = 0;  // window, as last sent
  bool fin_received_ = false;

  bool use_timestamps_ = false, use_scale_ = false;
  uint32_t their_timestamp_ = 0;
  Time timer_ = base::never;  // retransmission, probe, or the end of TIME_WAIT
  static constexpr uint32_t timeouts_before_patience = 3;
  uint32_t timeouts_ = 0;
};

class PeerHost final : public Actor, public Port {
 public:
  PeerHost(World& world, Network& network, const PeerConfig& config);

  using Accept = std::function<std::unique_ptr<Application>(ByteStream& stream)>;
  void listen(uint16_t port, Accept accept) { accepts_[port] = std::move(accept); }
  ByteStream* connect(uint32_t address, uint16_t port);
  void add(std::unique_ptr<Application> application) { applications_.push_back(std::move(application)); }

  void on_frame(base::Bytes frame) override { arrived_.emplace_back(frame.begin(), frame.end()); }
  std::string_view name() const override { return config_.name; }
  bool poll(Time now) override;
  Time next_deadline() const override;

  uint64_t resets_sent() const { return resets_sent_; }

 private:
  friend class PeerStream;

  void take_frame(base::Bytes frame, Time now);
  void take_segment(const PeerSegment& segment, Time now);
  void send(const PeerSegment& segment, Time now);
  uint32_t new_sequence();

  World& world_;
  Network& network_;
  PeerConfig config_;
  Network::PortIndex port_;
  Random random_;
  std::deque<std::vector<uint8_t>> arrived_;
  std::map<PeerStream::Tuple, PeerStream*> live_;
  std::vector<std::unique_ptr<PeerStream>> streams_;
  std::map<uint16_t, Accept> accepts_;
  std::vector<std::unique_ptr<Application>> applications_;
  std::map<uint32_t, net::MacAddress> neighbors_;
  std::map<uint32_t, std::vector<PeerSegment>> unresolved_;
  Time ask_again_ = base::never;
  uint16_t next_port_;
  uint64_t sent_frames_ = 0;
  uint64_t resets_sent_ = 0;
};

}  // namespace talaria::sim
