// The control thread: everything that is not a message. It is the main thread, on the main lcore; it may block, throw
// and allocate. It owns the control plane, the control socket and the log, and it brings the broker to its end:
//
//   serving --SIGTERM, SIGINT or `talariactl stop`--> draining --all clients gone, or 5 s--> stopping --> joined
//
// A second signal ends the process at once, with 128 + its number. SIGHUP opens the log file again.
#pragma once

#include <expected>
#include <memory>

#include "control/store.h"
#include "dpdk-app/datapath.h"
#include "dpdk-app/exit_status.h"
#include "dpdk-app/port.h"
#include "dpdk-app/settings.h"
#include "dpdk-app/statistics.h"

namespace talaria::app {

// From here on SIGTERM and SIGINT ask for the end, and SIGHUP for a new log file.
void catch_signals();

// Makes the data directory if it is not there, and opens the database in it.
std::expected<std::unique_ptr<control::Store>, Failure> open_store(const Settings& settings);

// Serves until the end was asked for and has come: clients told, loops joined. The datapath's loops are started here,
// once there is somebody to answer them.
std::expected<void, Failure> run_control_thread(const Settings& settings, control::Store& store, Datapath& datapath,
                                                const Ports& ports, const Statistics& statistics,
                                                const TscClock& clock);

}  // namespace talaria::app
