// What a port needs of the kernel's network interface behind it. Main thread only.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "core/net/device.h"

namespace talaria::app {

// Each answers an errno when it cannot.
std::expected<void, int> set_interface_mtu(const std::string& interface, uint16_t mtu);
std::expected<net::MacAddress, int> interface_address(const std::string& interface);
// Set up by whoever it belongs to; false also when it is gone.
bool interface_is_up(const std::string& interface);
// The kernel's own count of frames that it had for a port and dropped.
uint64_t interface_drops(const std::string& interface);

// An address for the other end of a link whose one end has `address`: locally administered, and no group's.
net::MacAddress address_beside(net::MacAddress address);

}  // namespace talaria::app
