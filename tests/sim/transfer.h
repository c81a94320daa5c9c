// Two applications that send each other so many bytes, and know what they must be: the load of the TCP scenarios.
//
// The byte at an offset of a stream is a function of the exchange, the direction and the offset, so whatever arrives is
// checked on its own. The client begins with the exchange's number, so that the server knows which one it serves. Both
// ends write and read in pieces of random size, pause now and then, and end in one of several ways.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/byte_stream.h"

namespace talaria::sim {

// How one end behaves.
struct EndPlan {
  uint64_t bytes = 0;                        // to send; of the client's end, the 8 of the exchange's number included
  size_t write_max = 4096, read_max = 4096;  // of one call
  double pause_chance = 0;                   // per turn: it neither reads nor writes for a while
  Duration pause_max = 200ms;
  bool close_early = true;           // as soon as everything is sent; otherwise only after the other side did
  std::optional<uint64_t> abort_at;  // after so many received bytes
  bool keepalive = false;            // its TCP must notice by itself that the other side has gone
};

struct Exchange {
  uint64_t number = 0;
  EndPlan client, server;
  // A host keeps so few connections in TIME_WAIT that a last FIN, sent again, may find nobody but a reset.
  bool may_be_forgotten = false;
  // A host keeps so few half-open connections that it sends cookies: an ACK that overtakes the first data brings none
  // back, and is answered with a reset.
  bool may_be_refused = false;
  bool accepted = false;  // the server has read the number
  bool client_done = false, server_done = false;
  bool client_aborted = false, server_aborted = false;

  bool done() const { return client_done && server_done; }
  bool aborted() const { return client_aborted || server_aborted; }
};

uint8_t pattern(uint64_t number, bool from_client, uint64_t offset);

// What both ends do once they are connected.
class TransferEnd {
 public:
  TransferEnd(Random random, Exchange& exchange, bool is_client)
      : random_(random), exchange_(&exchange), is_client_(is_client) {}

  bool poll(ByteStream& stream, Time now);
  Time next_deadline() const;
  uint64_t received() const { return received_; }
  void start_behind(uint64_t received) { received_ = received; }

 private:
  const EndPlan& plan() const { return is_client_ ? exchange_->client : exchange_->server; }
  const EndPlan& other() const { return is_client_ ? exchange_->server : exchange_->client; }
  bool receive(ByteStream& stream);
  bool write(ByteStream& stream);
  void finish(ByteStream& stream);

  Random random_;
  Exchange* exchange_;
  bool is_client_;
  uint64_t sent_ = 0, received_ = 0;
  std::vector<uint8_t> piece_;  // of what is next to send, not taken yet
  bool closing_ = false;
  Time paused_until_ = base::never;
  Time orphan_since_ = base::never;
};

// The client's end: connects, and connects again as long as the server has not seen it.
class TransferClient final : public Application {
 public:
  using Connect = std::function<ByteStream*()>;
  TransferClient(World& world, Random random, Exchange& exchange, Connect connect, Time start)
      : world_(world), random_(random), exchange_(exchange), connect_(std::move(connect)), start_(start) {}

  bool poll(Time now) override;
  Time next_deadline() const override;

 private:
  World& world_;
  Random random_;
  Exchange& exchange_;
  Connect connect_;
  Time start_;
  ByteStream* stream_ = nullptr;
  std::optional<TransferEnd> end_;
};

class TransferServer final : public Application {
 public:
  // `find` gives the exchange with a number, or nullptr.
  using Find = std::function<Exchange*(uint64_t number)>;
  TransferServer(Random random, ByteStream& stream, Find find)
      : random_(random), stream_(stream), find_(std::move(find)) {}

  bool poll(Time now) override;
  Time next_deadline() const override { return end_ ? end_->next_deadline() : base::never; }

 private:
  Random random_;
  ByteStream& stream_;
  Find find_;
  uint8_t greeting_[8] = {};
  size_t greeted_ = 0;
  bool over_ = false;
  std::optional<TransferEnd> end_;
};

}  // namespace talaria::sim
