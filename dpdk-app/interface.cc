#include "dpdk-app/interface.h"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace talaria::app {
namespace {

std::expected<ifreq, int> ask(const std::string& interface, unsigned long what, ifreq request = {}) {
  if (interface.size() >= IFNAMSIZ) return std::unexpected(ENODEV);
  std::memcpy(request.ifr_name, interface.c_str(), interface.size() + 1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return std::unexpected(errno);
  const int error = ioctl(socket, what, &request) != 0 ? errno : 0;
  close(socket);
  if (error != 0) return std::unexpected(error);
  return request;
}

}  // namespace

std::expected<void, int> set_interface_mtu(const std::string& interface, uint16_t mtu) {
  ifreq request{};
  request.ifr_mtu = mtu;
  if (auto done = ask(interface, SIOCSIFMTU, request); !done) return std::unexpected(done.error());
  return {};
}

std::expected<net::MacAddress, int> interface_address(const std::string& interface) {
  const auto answer = ask(interface, SIOCGIFHWADDR);
  if (!answer) return std::unexpected(answer.error());
  net::MacAddress address;
  std::memcpy(address.data(), answer->ifr_hwaddr.sa_data, address.size());
  return address;
}

bool interface_is_up(const std::string& interface) {
  const auto answer = ask(interface, SIOCGIFFLAGS);
  return answer && (answer->ifr_flags & IFF_UP) != 0;
}

uint64_t interface_drops(const std::string& interface) {
  FILE* file = fopen(("/sys/class/net/" + interface + "/statistics/tx_dropped").c_str(), "re");
  if (file == nullptr) return 0;
  unsigned long long drops = 0;
  if (fscanf(file, "%llu", &drops) != 1) drops = 0;
  fclose(file);
  return drops;
}

net::MacAddress address_beside(net::MacAddress address) {
  address[0] = static_cast<uint8_t>((address[0] | 0x02) & 0xfe);
  address[5] ^= 0x01;
  return address;
}

}  // namespace talaria::app
