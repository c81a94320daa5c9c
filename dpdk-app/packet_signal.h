// By what a sleeping worker hears of a packet, for each kind of port.
//
//   descriptor   readable while packets wait: the tap device that DPDK hands out; the driver's own AF_XDP or AF_PACKET
//                socket, which DPDK keeps to itself and which is found among this process's descriptors
//   interrupt    of a card, through vfio: off while the worker is awake, on before it sleeps
//   none         the worker has to look
//
// Found by the main thread after the port has started; used by the worker of the queue.
#pragma once

#include <cstdint>

namespace talaria::app {

class DpdkPort;

class PacketSignal {
 public:
  PacketSignal() = default;
  static PacketSignal find(const DpdkPort& port, uint16_t queue);
  // For a descriptor that stays the caller's.
  static PacketSignal of_descriptor(int descriptor);
  PacketSignal(PacketSignal&& other) noexcept;
  PacketSignal& operator=(PacketSignal&& other) noexcept;
  ~PacketSignal();

  bool exists() const { return descriptor_ >= 0; }
  // To be polled for reading; -1: there is none.
  int descriptor() const { return descriptor_; }
  void arm();
  void disarm();
  // It was readable.
  void take();

 private:
  int descriptor_ = -1;
  bool interrupts_ = false;  // the descriptor is an epoll instance of ours with the queue's interrupt in it
  uint16_t port_ = 0;
  uint16_t queue_ = 0;
};

}  // namespace talaria::app
