// What went through one worker's end of the port, and what did not. Written by the worker, read by any thread.
#pragma once

#include "core/base/counters.h"

namespace talaria::app {

struct DeviceCounters {
  base::Counter packets_in, bytes_in, packets_out, bytes_out;
  base::Counter carried;             // for other workers, both ways (spread.h)
  base::Counter drop_long_frame;     // in: does not fit one buffer
  base::Counter drop_unpreparable;   // out: the driver refuses the packet itself
  base::Counter drop_no_link;        // out: the interface is down, or gone (tap)
  base::Counter drop_spread_full;    // in: the worker it belongs to does not keep up (spread.h)
  base::Counter no_transmit_packet;  // allocate() found the pool empty (not a drop)
  base::Counter transmit_full;       // bursts that the port took only a part of (not a drop)

  // Calls `visit(name, value)` for each, in the order above.
  template <class Visitor>
  void for_each(Visitor&& visit) const;
};

template <class Visitor>
void DeviceCounters::for_each(Visitor&& visit) const {
  static_assert(sizeof(DeviceCounters) == 11 * sizeof(base::Counter), "a counter is missing below");
  visit("packets_in", packets_in.value());
  visit("bytes_in", bytes_in.value());
  visit("packets_out", packets_out.value());
  visit("bytes_out", bytes_out.value());
  visit("carried", carried.value());
  visit("drop_long_frame", drop_long_frame.value());
  visit("drop_unpreparable", drop_unpreparable.value());
  visit("drop_no_link", drop_no_link.value());
  visit("drop_spread_full", drop_spread_full.value());
  visit("no_transmit_packet", no_transmit_packet.value());
  visit("transmit_full", transmit_full.value());
}

}  // namespace talaria::app
