#include "tests/sim/matrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "tests/sim/environment.h"
#include "tests/sim/stack_node.h"
#include "tests/sim/transfer.h"
#include "tests/sim/wire_observer.h"

namespace talaria::sim {

namespace {

constexpr std::array losses{0.0, 0.001, 0.01, 0.05, 0.2};
constexpr std::array<Duration, 4> delays{50us, 1ms, 50ms, 200ms};
constexpr std::array<uint64_t, 3> rates{2'000'000, 100'000'000, 10'000'000'000};
constexpr std::array<uint32_t, 4> buffers{2048, 64 * 1024, 512 * 1024, 4 * 1024 * 1024};
constexpr std::array troubles{"bursts of loss",     "corruption",         "pauses",
                              "a black hole",       "a later black hole", "no data for 3 s",
                              "no answers for 3 s", "nothing for 3 s"};
constexpr uint64_t grid_cells = losses.size() * 4 * delays.size() * rates.size() * buffers.size();

constexpr uint16_t service_port = 5672;
constexpr double segment = 1448;          // of payload, with timestamps
constexpr double segment_on_wire = 1538;  // with everything
constexpr double timeout_min = 0.2;
constexpr double reorder_share = 0.05;
constexpr double duplicate_share = 0.02;
// Goodput is to be at least this share of what the cell allows.
constexpr double floor_share = 0.5;
// Where frames overtake within a round trip of 100 us, what is resent needlessly is undone a millisecond later, the
// timestamps' tick, and the whole takes five: 449 MB/s of 1180 were seen.
constexpr double floor_share_of_hasty = 0.3;
double floor_of(const Cell& cell) {
  return cell.reorder && cell.delay < std::chrono::milliseconds(1) ? floor_share_of_hasty : floor_share;
}
constexpr uint64_t bytes_min = 32 * 1024;
constexpr uint64_t bytes_max = 2 * 1024 * 1024;
constexpr Duration outage = 3s;
constexpr size_t black_hole_takes = 1300;

double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

double round_trip(const Cell& cell) {
  return 2 * seconds(cell.delay) + 4 * 8 * segment_on_wire / static_cast<double>(cell.rate);
}

// Bytes a second.
double allowed_by(const Cell& cell) {
  const double link = static_cast<double>(cell.rate) / 8 * segment / segment_on_wire;
  const bool alone = cell.buffer < 2 * segment;
  const double window = alone ? segment : cell.buffer;
  double least = std::min(link, window / round_trip(cell));
  // Where one segment fills the window, the loss of its acknowledgement is as bad as its own.
  if (const double p = alone ? 1 - (1 - cell.loss) * (1 - cell.loss) : cell.loss; p > 0) {
    const double timeout = std::max(timeout_min, 2 * round_trip(cell));
    // Nothing comes after it that would tell of its loss: only the timer does.
    const double by_timeout = alone ? 1 : std::min(1.0, 3 * std::sqrt(3 * p / 8));
    const double for_a_segment = round_trip(cell) * std::sqrt(2 * p / 3) + timeout * by_timeout * p * (1 + 32 * p * p);
    least = std::min(least, segment / for_a_segment);
  }
  return least;
}

uint64_t bytes_for(const Cell& cell) {
  const double wanted = allowed_by(cell) * std::max(20 * round_trip(cell), 4.0);
  return static_cast<uint64_t>(std::clamp<double>(wanted, bytes_min, bytes_max));
}

// What it takes to get going, and what is granted once.
double start_up(const Cell& cell) {
  const double target = std::min<double>(cell.buffer, allowed_by(cell) * round_trip(cell));
  const double doublings = std::max(0.0, std::log2(target / (10 * segment)));
  double granted = round_trip(cell) * (2 + doublings);
  if (cell.loss > 0) granted += 1.25 * std::max(timeout_min, 2 * round_trip(cell));
  return granted;
}

// ---- the two applications -------------------------------------------------------------------------------------------

class Sender final : public Application {
 public:
  Sender(World& world, ByteStream& stream, uint64_t number, uint64_t total)
      : world_(world), stream_(stream), number_(number), total_(total) {}

  bool poll(Time) override {
    if (closed_ || stream_.state() == ByteStream::State::opening) return false;
    if (stream_.state() == ByteStream::State::closed) {
      if (!stream_.failure().empty())
        fail("the sender's connection failed: %s", std::string(stream_.failure()).c_str());
      return false;
    }
    if (sent_ == 0 && began == Time{}) began = world_.now();
    bool progress = false;
    while (sent_ < total_) {
      std::array<uint8_t, 16 * 1024> piece;
      const auto size = static_cast<size_t>(std::min<uint64_t>(piece.size(), total_ - sent_));
      for (size_t i = 0; i < size; i++) piece[i] = pattern(number_, false, sent_ + i);
      const size_t taken = stream_.send({piece.data(), size});
      sent_ += taken;
      progress |= taken > 0;
      if (taken == 0) break;
    }
    if (sent_ < total_) return progress;
    stream_.close();
    return closed_ = true;
  }
  Time next_deadline() const override { return base::never; }

  Time began{};

 private:
  World& world_;
  ByteStream& stream_;
  uint64_t number_, total_, sent_ = 0;
  bool closed_ = false;
};

class Receiver final : public Application {
 public:
  Receiver(World& world, ByteStream& stream, uint64_t number, uint64_t total, Time& ended)
      : world_(world), stream_(stream), number_(number), total_(total), ended_(ended) {}

  bool poll(Time) override {
    bool progress = false;
    for (base::Bytes input = stream_.input(); !input.empty(); input = stream_.input()) {
      for (size_t i = 0; i < input.size(); i++)
        if (input[i] != pattern(number_, false, received_ + i)) fail("a wrong byte at %lu", received_ + i);
      received_ += input.size();
      stream_.consume(input.size());
      progress = true;
    }
    if (received_ > total_) fail("more bytes than were sent");
    if (received_ == total_ && ended_ == Time{}) ended_ = world_.now();
    if (stream_.state() == ByteStream::State::finished && !closed_) {
      closed_ = progress = true;
      stream_.close();
    }
    return progress;
  }
  Time next_deadline() const override { return base::never; }

 private:
  World& world_;
  ByteStream& stream_;
  uint64_t number_, total_, received_ = 0;
  Time& ended_;
  bool closed_ = false;
};

// ---- one cell -------------------------------------------------------------------------------------------------------

class CellRun {
 public:
  explicit CellRun(const RunOptions& options)
      : cell_(cell_of(options.seed)), number_(options.seed), world_(options.seed), bytes_(bytes_for(cell_)) {
    world_.set_trace(options.trace);
    world_.check_every(16);
    network_.capture_to(options.capture);
    network_.observe([this](base::Bytes frame) { observer_.on_frame(frame); });
  }

  RunReport run() {
    Link data = plain_link(), answers = plain_link();
    add_faults(data.faults);
    add_faults(answers.faults);
    add_trouble(data.faults, answers.faults);
    Link last = plain_link();  // from the switch: nothing happens there
    last.delay = 0ns;
    StackNode server(world_, network_, config("server", server_number, answers, last));
    StackNode client(world_, network_, config("client", client_number, data, last));
    Time ended{};
    server.listen(service_port, [&](ByteStream& stream) {
      return std::make_unique<Receiver>(world_, stream, number_, bytes_, ended);
    });
    // The handshake is not what is measured, and at 20 % loss may fail: it goes undisturbed.
    network_.stop_faults();
    ByteStream* stream = client.connect({net::Ipv4Address{address_of(server_number)}, service_port});
    world_.add(server);
    world_.add(client);
    if (!world_.run_until([&] { return stream->state() == ByteStream::State::open; }, world_.now() + 60s))
      fail("no connection");
    network_.start_faults();
    auto sender = std::make_unique<Sender>(world_, *stream, number_, bytes_);
    const Sender& bulk = *sender;
    client.add(std::move(sender));
    began_ = world_.now();

    const double allowed =
        granted_ + start_up(cell_) + static_cast<double>(bytes_) / (floor_of(cell_) * allowed_by(cell_));
    world_.run_until([&] { return ended != Time{}; },
                     world_.now() + Duration(static_cast<int64_t>(20e9 * (allowed + 60))));
    if (ended == Time{}) fail("%s: it never ends", describe(cell_).c_str());
    const double took = seconds(ended - bulk.began);
    network_.stop_faults();
    world_.run_for(400s);
    server.check_all_home();
    client.check_all_home();

    const double net = std::max(took - granted_ - start_up(cell_), 1e-9);
    const double share = static_cast<double>(bytes_) / net / allowed_by(cell_);
    const tcp::StackCounters& counters = client.stack().counters();
    char text[320];
    std::snprintf(text, sizeof text,
                  "%s: %lu bytes in %.3f s (%.3f s allowed), %.3g MB/s where %.3g are possible; sent again %lu, "
                  "timeouts %lu, tail probes %lu, undone %lu",
                  describe(cell_).c_str(), bytes_, took, allowed, static_cast<double>(bytes_) / took / 1e6,
                  allowed_by(cell_) / 1e6, counters.retransmitted_segments.value(), counters.timeouts.value(),
                  counters.tail_probes.value(), counters.recoveries_undone.value());
    if (took > allowed) throw Failure(text);
    return {world_.fingerprint(), false, text, std::min(share, 1.0)};
  }

 private:
  Link plain_link() const {
    Link link;
    link.bits_per_second = cell_.rate;
    link.delay = cell_.delay;
    // A product of rate and delay, as routers are told to have.
    link.queue_bytes =
        std::max<size_t>(64 * 1024, static_cast<size_t>(static_cast<double>(cell_.rate) / 8 * round_trip(cell_)));
    return link;
  }
  void add_faults(Faults& faults) const {
    faults.loss = cell_.loss;
    if (cell_.reorder) faults.reorder = reorder_share;
    faults.reorder_delay = cell_.delay / 2;
    if (cell_.duplicate) faults.duplicate = duplicate_share;
  }
  // What is not a cell of the grid; each may take what it takes away.
  void add_trouble(Faults& data, Faults& answers) {
    const std::string_view trouble = cell_.trouble;
    const auto large = [](base::Bytes frame) { return frame.size() > black_hole_takes; };
    const auto out = [this](base::Bytes, uint64_t) {
      return world_.now() > began_ + 300ms && world_.now() < began_ + 300ms + outage;
    };
    if (trouble == "bursts of loss") {
      data.burst_start = answers.burst_start = 0.003;
      data.burst_end = answers.burst_end = 0.2;
      granted_ = 4;
    } else if (trouble == "corruption") {
      data.corrupt = data.truncate = answers.corrupt = 0.005;
      granted_ = 2;
    } else if (trouble == "pauses") {
      data.pause = answers.pause = 0.002;
      granted_ = 6;
    } else if (trouble == "a black hole") {
      data.drop_if = [large](base::Bytes frame, uint64_t) { return large(frame); };
      granted_ = 6;
    } else if (trouble == "a later black hole") {
      data.drop_if = [large](base::Bytes frame, uint64_t number) { return number > 300 && large(frame); };
      granted_ = 6;
    } else {
      if (trouble == "no data for 3 s" || trouble == "nothing for 3 s") data.drop_if = out;
      if (trouble == "no answers for 3 s" || trouble == "nothing for 3 s") answers.drop_if = out;
      // The timeout has backed off to as much again by the time the line is back.
      if (!trouble.empty()) granted_ = 2.5 * seconds(outage);
    }
  }
  StackNodeConfig config(const char* name, uint8_t number, const Link& up, const Link& down) const {
    StackNodeConfig config;
    config.name = name;
    config.nic.mac = mac_of(number);
    config.up = up;
    config.down = down;
    config.host.addresses = {{net::Ipv4Address{address_of(number)}, 16}};
    config.tcp.connections = 4;
    config.tcp.half_open = config.tcp.time_wait = 4;
    config.tcp.receive_window = cell_.buffer;
    config.tcp.send_high_watermark = cell_.buffer;
    config.tcp.send_low_watermark = cell_.buffer / 2;
    config.tcp.send_chunks = config.tcp.receive_chunks = 64 + 4 * cell_.buffer / tcp::send_chunk_bytes;
    config.tcp.shared_slices = 4096;
    return config;
  }

  Cell cell_;
  uint64_t number_;
  World world_;
  Network network_{world_};
  WireObserver observer_;
  uint64_t bytes_;
  Time began_{};
  double granted_ = 0;  // seconds that the trouble takes
};

}  // namespace

uint64_t cell_count() { return grid_cells + troubles.size(); }

Cell cell_of(uint64_t number) {
  uint64_t left = number - 1;
  if (left >= grid_cells)
    return {.delay = 5ms, .rate = 10'000'000, .buffer = 512 * 1024, .trouble = troubles.at(left - grid_cells)};
  const auto digit = [&left](uint64_t base) {
    const uint64_t value = left % base;
    left /= base;
    return value;
  };
  Cell cell;
  cell.loss = losses[digit(losses.size())];
  cell.delay = delays[digit(delays.size())];
  cell.buffer = buffers[digit(buffers.size())];
  cell.rate = rates[digit(rates.size())];
  cell.reorder = digit(2) == 1;
  cell.duplicate = digit(2) == 1;
  return cell;
}

std::string describe(const Cell& cell) {
  char text[160];
  if (*cell.trouble) return cell.trouble;
  std::snprintf(text, sizeof text, "%g %% loss%s%s, %g ms, %g Mbit/s, %u KiB", 100 * cell.loss,
                cell.reorder ? ", reordered" : "", cell.duplicate ? ", duplicated" : "", 1000 * seconds(cell.delay),
                static_cast<double>(cell.rate) / 1e6, cell.buffer / 1024);
  return text;
}

RunReport run_cell(const RunOptions& options) {
  if (options.seed < 1 || options.seed > cell_count()) fail("cells are numbered from 1 to %lu", cell_count());
  return CellRun(options).run();
}

}  // namespace talaria::sim
