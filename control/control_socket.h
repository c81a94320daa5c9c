// The Unix socket operators' programs speak to: one JSON object a line in, one a line out, in order, one at a time for
// each client (the next line is looked at when the last has been answered).
//
// The control thread alone calls it; `poll` is where that thread waits. Bounds: `clients_max` clients; a line of
// `line_bytes_max` (a longer one is answered with an error and the client is dropped); an answer of
// Commands::reply_bytes_max; a client that takes nothing of its answer for `stalled_max` or says nothing for `idle_max`
// is dropped. No input ends anything but that client.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "control/commands.h"
#include "core/base/time.h"

namespace talaria::control {

class ControlSocket {
 public:
  static constexpr size_t clients_max = 64;
  static constexpr size_t line_bytes_max = 1 << 20;
  static constexpr base::Duration stalled_max = std::chrono::seconds(10);
  static constexpr base::Duration idle_max = std::chrono::minutes(5);

  // Listens at `path`, mode 0660. A socket left behind by a broker that died is replaced; one that answers is not:
  // then, and for whatever else goes wrong, it throws std::system_error or std::runtime_error.
  ControlSocket(std::filesystem::path path, Commands& commands);
  // Removes the file.
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;

  // Waits up to `wait` for something to do, and does what there is, within bounds. While an answer waits for the plane
  // it does not wait at all beyond a millisecond.
  void poll(base::Time now, std::chrono::milliseconds wait);

  size_t clients() const { return clients_.size(); }
  // Clients that were sent away: too many, too slow, too long a line.
  uint64_t dropped() const { return commands_.operators_dropped(); }

 private:
  // A file descriptor that closes itself.
  class Descriptor {
   public:
    explicit Descriptor(int value = -1) : value_(value) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(value_, other.value_);
      return *this;
    }
    int get() const { return value_; }

   private:
    int value_;
  };
  struct Client {
    Descriptor socket;
    std::string in;       // what came and was not a whole line yet, or waits for its turn
    size_t searched = 0;  // no line end before this
    std::string out;
    size_t sent = 0;
    bool waiting = false;  // `pending` is under way
    Commands::Pending pending;
    bool closing = false;  // drop it when `out` is empty
    uint32_t interest = 0;
    base::Time active{};  // when something last moved
  };

  void accept_clients(base::Time now);
  // False: drop the client.
  bool receive(Client& client, base::Time now);
  bool serve(Client& client, base::Time now);
  bool transmit(Client& client, base::Time now);
  void reply(Client& client, std::string line);
  bool watch(Client& client);
  void drop(int descriptor);
  bool expired(const Client& client, base::Time now);

  std::filesystem::path path_;
  Commands& commands_;
  Descriptor listener_;
  Descriptor epoll_;
  std::map<int, std::unique_ptr<Client>> clients_;
};

}  // namespace talaria::control
