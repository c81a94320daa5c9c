#include "dpdk-app/control_thread.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "control/commands.h"
#include "control/control_socket.h"
#include "control/message_door.h"
#include "control/plane.h"
#include "control/sqlite_store.h"
#include "core/base/check.h"
#include "core/base/version.h"
#include "dpdk-app/frame_buffers.h"
#include "dpdk-app/log.h"
#include "dpdk-app/waking_link.h"

namespace talaria::app {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration drain_max = 5s;
constexpr base::Duration stop_max = 2s;
// A request often follows on the last one. How long after it the thread looks again after moments, after milliseconds,
// and after longer than that; what comes in at the control socket wakes it at once.
constexpr base::Duration attentive_for = 5ms;
constexpr base::Duration moment = 50us;
constexpr base::Duration awake_for = 1s;
constexpr auto awake_wait = 1ms;
constexpr auto asleep_wait = 5ms;
constexpr base::Duration link_interval = 1s;

volatile sig_atomic_t end_signal = 0;
volatile sig_atomic_t hangup_signal = 0;

void on_signal(int number) {
  if (end_signal != 0) _exit(128 + number);
  end_signal = number;
}

void on_hangup(int) { hangup_signal = 1; }

void fill_with_random(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t filled = getrandom(bytes.data(), bytes.size(), 0);
    if (filled > 0) bytes = bytes.subspan(static_cast<size_t>(filled));
  }
}

class LinkWatch {
 public:
  LinkWatch(const Port& port, uint8_t number, control::Plane& plane) : port_(port), number_(number), plane_(plane) {}
  void poll(base::Time now) {
    if (now < next_) return;
    next_ = now + link_interval;
    const Link link = port_.link();
    if (known_ && link.up == up_) return;
    if (link.up)
      spdlog::info("port {}: link is up{}", port_.name(),
                   link.speed_mbps == 0 ? std::string() : fmt::format(", {} Mbit/s", link.speed_mbps));
    else
      spdlog::warn("port {}: link is down", port_.name());
    plane_.port_changed(number_, port_.name(), link.up, link.speed_mbps);
    known_ = true;
    up_ = link.up;
  }

 private:
  const Port& port_;
  uint8_t number_;
  control::Plane& plane_;
  base::Time next_{};
  bool known_ = false;
  bool up_ = false;
};

void sleep_for(base::Duration duration) {
  const timespec time{0, duration.count()};
  nanosleep(&time, nullptr);
}

// Until the end was asked for and every client has gone, or has been given time to.
void serve(const Settings& settings, control::Plane& plane, control::Commands& commands, control::ControlSocket& socket,
           control::MessageDoor& door, const Ports& ports, const TscClock& clock) {
  std::vector<LinkWatch> link_watches;
  for (const auto& port : ports) link_watches.emplace_back(*port, static_cast<uint8_t>(link_watches.size()), plane);
  base::Time last_busy{};
  base::Time drain_until = base::never;
  while (true) {
    const base::Time now = clock.now();
    bool busy = plane.poll(now);
    if (door.poll(now)) busy = true;
    if (busy) last_busy = now;
    const base::Duration idle = now - last_busy;
    if (!busy && idle < attentive_for) sleep_for(moment);
    socket.poll(now, idle < attentive_for ? 0ms : idle < awake_for ? awake_wait : asleep_wait);
    commands.poll(now);
    for (LinkWatch& watch : link_watches) watch.poll(now);
    log_dpdk_lines();
    if (hangup_signal != 0) {
      hangup_signal = 0;
      reopen_log(settings);
    }

    if (drain_until == base::never && (end_signal != 0 || commands.stop_requested())) {
      spdlog::info("{}: closing every connection", end_signal != 0 ? strsignal(end_signal) : "asked to stop");
      plane.drain();
      drain_until = now + drain_max;
    }
    if (drain_until != base::never && plane.drained()) break;
    if (now >= drain_until) {
      spdlog::warn("some clients did not close within 5 s: they are cut off");
      break;
    }
  }
}

// Of each port, with its name where there are several.
std::string all_addresses_text(const Settings& settings) {
  std::string text;
  for (const PortSettings& port : settings.ports) {
    text += (text.empty() ? "" : "; ") + addresses_text(port);
    if (settings.ports.size() > 1) text += " (" + port.name() + ")";
  }
  return text;
}

// Tells all workers to end and waits for their loops.
bool stop_workers(control::Plane& plane, Datapath& datapath, const TscClock& clock) {
  plane.stop();
  const base::Time until = clock.now() + stop_max;
  while (!plane.flushed() && clock.now() < until) {
    plane.poll(clock.now());
    sleep_for(moment);
  }
  return datapath.join(stop_max);
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  action.sa_handler = on_hangup;
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

std::expected<std::unique_ptr<control::Store>, Failure> open_store(const Settings& settings) try {
  const std::filesystem::path directory = settings.data_directory;
  if (std::filesystem::create_directories(directory))
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
  return std::make_unique<control::SqliteStore>(directory / "talaria.db");
} catch (const std::exception& error) {
  return std::unexpected(Failure{exit_control, "--data-dir " + settings.data_directory + ": " + error.what()});
}

std::expected<void, Failure> run_control_thread(const Settings& settings, control::Store& store, Datapath& datapath,
                                                const Ports& ports, const Statistics& statistics,
                                                const TscClock& clock) try {
  std::vector<std::unique_ptr<WakingLink>> links;
  std::vector<control::WorkerLink*> link_pointers;
  for (size_t index = 0; index < datapath.size(); index++) {
    links.push_back(std::make_unique<WakingLink>(datapath.mesh().control(static_cast<worker::WorkerIndex>(index)),
                                                 datapath.doorbell(index)));
    link_pointers.push_back(links.back().get());
  }
  control::Plane plane(
      store, link_pointers,
      {.move_queues = settings.move_queues,
       .demo_account = settings.demo_account,
       .limits = {},
       .management = true,
       .wall_clock_ahead = std::chrono::system_clock::now().time_since_epoch() - clock.now().time_since_epoch(),
       .pressure = &datapath.mesh().pressure(),
       .random = fill_with_random});
  const LogPublisher log_publisher(
      [&plane](std::string_view level, std::string_view line) { plane.log_line(level, line); });
  std::vector<std::string> names;
  for (const auto& port : ports) names.push_back(port->name());
  FrameBuffers frames(names, datapath.size(), clock);
  control::Commands commands(plane, statistics, std::string(base::version), &frames);
  const std::filesystem::path socket_path = settings.control_socket;
  if (socket_path.has_parent_path()) std::filesystem::create_directories(socket_path.parent_path());
  control::ControlSocket socket(socket_path, commands);
  control::MessageDoor door(plane, commands);

  for (const auto& port : ports)
    if (auto started = port->start(); !started) return started;
  datapath.start(ports);
  for (const std::string& which : datapath.ports_unheard())
    spdlog::warn("port {} wakes nobody: idle workers sleep 100 us at a time, not until there is work", which);
  spdlog::info("talariad {} serves AMQP 0-9-1 at {}, TCP port {}, control socket {}", base::version,
               all_addresses_text(settings), settings.amqp_port, settings.control_socket);

  try {
    serve(settings, plane, commands, socket, door, ports, clock);
  } catch (const std::exception& error) {
    // The workers run, and who they talk to does not: nothing can be taken apart in order.
    spdlog::critical("the control thread fails: {}", error.what());
    _exit(exit_control);
  }
  if (!stop_workers(plane, datapath, clock)) {
    // Nothing of what the worker uses may be taken apart under it.
    spdlog::critical("a worker does not end");
    _exit(exit_failed);
  }
  for (const auto& port : ports) port->stop();
  datapath.take_workers_apart();
  return {};
} catch (const std::exception& error) {
  return std::unexpected(Failure{exit_control, error.what()});
}

}  // namespace talaria::app
