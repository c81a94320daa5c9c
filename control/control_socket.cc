#include "control/control_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace talaria::control {
namespace {

constexpr size_t read_bytes_per_poll = 256 * 1024;

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.empty() || text.size() >= sizeof address.sun_path)
    throw std::runtime_error("the control socket's path '" + text + "' is too long or empty");
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) { return reinterpret_cast<const sockaddr*>(&address); }

// Takes away a socket that nobody listens at any more. What is no socket is left alone: bind will say so.
void remove_stale(const std::filesystem::path& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return;
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) fail("making a socket");
  int result = ::connect(probe, generic(address), sizeof address);
  ::close(probe);
  if (result == 0) throw std::runtime_error("another broker answers at " + path.string());
  ::unlink(path.c_str());
}

}  // namespace

ControlSocket::Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

ControlSocket::ControlSocket(std::filesystem::path path, Commands& commands)
    : path_(std::move(path)), commands_(commands) {
  sockaddr_un address = address_of(path_);
  remove_stale(path_, address);
  listener_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (listener_.get() < 0) fail("making the control socket");
  if (::bind(listener_.get(), generic(address), sizeof address) != 0) fail("binding " + path_.string());
  // Nobody can connect before listen, so that nobody ever connects with other rights than these.
  if (::chmod(path_.c_str(), 0660) != 0) fail("setting the rights of " + path_.string());
  if (::listen(listener_.get(), 16) != 0) fail("listening at " + path_.string());
  epoll_ = Descriptor(::epoll_create1(EPOLL_CLOEXEC));
  if (epoll_.get() < 0) fail("making an epoll set");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.get(), &event) != 0) fail("watching the control socket");
}

ControlSocket::~ControlSocket() {
  while (!clients_.empty()) drop(clients_.begin()->first);
  ::unlink(path_.c_str());
}

void ControlSocket::poll(base::Time now, std::chrono::milliseconds wait) {
  bool waiting =
      std::any_of(clients_.begin(), clients_.end(), [](const auto& client) { return client.second->waiting; });
  if (waiting) wait = std::min(wait, std::chrono::milliseconds(1));
  std::array<epoll_event, 64> events;
  int count =
      ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), static_cast<int>(wait.count()));

  for (int i = 0; i < count; i++) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.fd == listener_.get()) {
      accept_clients(now);
      continue;
    }
    auto found = clients_.find(event.data.fd);
    if (found == clients_.end()) continue;
    Client& client = *found->second;
    bool lives = true;
    if (event.events & EPOLLIN) lives = receive(client, now);
    // Whoever hung up, and has nothing more to say, wants no answer.
    if (lives && (event.events & (EPOLLERR | EPOLLHUP)) && !(event.events & EPOLLIN)) lives = false;
    if (!lives) drop(event.data.fd);
  }

  std::vector<int> gone;
  for (auto& [descriptor, client] : clients_)
    if (!serve(*client, now) || !transmit(*client, now) || !watch(*client) || expired(*client, now))
      gone.push_back(descriptor);
  for (int descriptor : gone) drop(descriptor);
}

void ControlSocket::accept_clients(base::Time now) {
  for (;;) {
    Descriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket.get() < 0) return;
    if (clients_.size() >= clients_max) {
      commands_.count_dropped_operator();
      continue;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = socket.get();
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) continue;
    int descriptor = socket.get();
    auto client = std::make_unique<Client>();
    client->socket = std::move(socket);
    client->interest = EPOLLIN;
    client->active = now;
    clients_.emplace(descriptor, std::move(client));
  }
}

bool ControlSocket::receive(Client& client, base::Time now) {
  std::array<char, 16 * 1024> buffer;
  for (size_t taken = 0; taken < read_bytes_per_poll && client.in.size() <= line_bytes_max;) {
    ssize_t size = ::recv(client.socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    if (size == 0) {
      // Half closed: what was asked is still answered.
      client.closing = true;
      return client.waiting || !client.in.empty() || client.sent < client.out.size();
    }
    client.in.append(buffer.data(), static_cast<size_t>(size));
    client.active = now;
    taken += static_cast<size_t>(size);
  }
  return true;
}

// Takes the next line when the last has been answered and the answer has left.
bool ControlSocket::serve(Client& client, base::Time now) {
  if (client.waiting) {
    std::optional<std::string> line = commands_.finish(client.pending);
    if (!line) return true;
    client.waiting = false;
    client.active = now;
    reply(client, *std::move(line));
  }
  if (client.sent < client.out.size()) return true;
  size_t end = client.in.find('\n', client.searched);
  if (end == std::string::npos) {
    client.searched = client.in.size();
    if (client.in.size() > line_bytes_max && !client.closing) {
      reply(client, R"({"ok":false,"error":"bad_request","message":"a line is longer than 1 MiB"})");
      client.in.clear();
      client.searched = 0;
      commands_.count_dropped_operator();
      client.closing = true;
    }
    return true;
  }
  std::string line = client.in.substr(0, end);
  client.in.erase(0, end + 1);
  client.searched = 0;
  std::optional<std::string> answer = commands_.start(line, client.pending);
  if (answer)
    reply(client, *std::move(answer));
  else
    client.waiting = true;
  return true;
}

void ControlSocket::reply(Client& client, std::string line) {
  line += '\n';
  client.out = std::move(line);
  client.sent = 0;
}

bool ControlSocket::transmit(Client& client, base::Time now) {
  while (client.sent < client.out.size()) {
    ssize_t size =
        ::send(client.socket.get(), client.out.data() + client.sent, client.out.size() - client.sent, MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    client.sent += static_cast<size_t>(size);
    client.active = now;
  }
  client.out = {};  // a great answer's memory is not kept
  client.sent = 0;
  bool more = client.waiting || client.in.find('\n') != std::string::npos;
  return !client.closing || more;
}

// Reads only when there is room for a line and no answer is owed; writes only when there is something to write.
bool ControlSocket::watch(Client& client) {
  uint32_t interest = 0;
  bool owed = client.waiting || client.sent < client.out.size();
  if (!owed && !client.closing) interest |= EPOLLIN;
  if (client.sent < client.out.size() || client.in.find('\n') != std::string::npos) interest |= EPOLLOUT;
  if (interest == client.interest) return true;
  epoll_event event{};
  event.events = interest;
  event.data.fd = client.socket.get();
  client.interest = interest;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, client.socket.get(), &event) == 0;
}

bool ControlSocket::expired(const Client& client, base::Time now) {
  if (client.waiting) return false;
  if (now - client.active <= (client.sent < client.out.size() ? stalled_max : idle_max)) return false;
  commands_.count_dropped_operator();
  return true;
}

void ControlSocket::drop(int descriptor) {
  auto found = clients_.find(descriptor);
  if (found->second->waiting) commands_.abandon(found->second->pending);
  // epoll forgets a descriptor that is closed.
  clients_.erase(found);
}

}  // namespace talaria::control
