// A binding as an exchange keeps it, and where it leads. The exchange owns the binding; destinations are records of the
// same worker's replica, which outlive every binding to them.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/field.h"

namespace talaria::broker {

class Exchange;
struct QueueRecord;

// Exactly one of the two is set.
struct Destination {
  QueueRecord* queue = nullptr;
  Exchange* exchange = nullptr;
  bool operator==(const Destination&) const = default;
};

// Known by destination, key and arguments within its exchange.
struct StoredBinding {
  Destination destination;
  std::string key;
  base::FieldTable arguments;
  uint32_t place = 0;  // where the exchange type's table holds it, so that removal need not search
};

}  // namespace talaria::broker
