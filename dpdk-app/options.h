// The command line and the configuration file, read with CLI11 into Settings. Called once, by main, before anything
// else runs.
//
// The configuration file holds one setting a line, named as the long option without its dashes; what the command line
// says wins. Everything behind `=` is the value, as it stands:
//
//     # comment
//     vdev = net_af_xdp0,iface=eth1
//     address = 198.18.0.2/24
//     workers = 2
//     demo-account            (a switch; `demo-account = false` is the same as leaving it out)
//
// Each setting stands once, but for those of ports: what names one (port, vdev, tap) begins it, and the addresses,
// gateways, routes, vlan and mtu up to the next are its own. An unknown setting, a value that cannot be and settings
// that contradict each other are refused with the place and the reason.
#pragma once

#include <expected>
#include <string>

#include "dpdk-app/settings.h"

namespace talaria::app {

// Nothing to run: print `text` and exit. `status` 0: --help or --version was asked for.
struct Ending {
  int status = 0;
  std::string text;
};

std::expected<Settings, Ending> read_options(int argument_count, const char* const* arguments,
                                             std::string_view configuration_file = default_configuration_file);

}  // namespace talaria::app
