// A new message with the body of another one, copied over as many turns as it takes: bodies may be as large as the
// pool, and a turn is short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/broker/message_pool.h"

namespace talaria::amqp091::session {

enum class Copying : uint8_t {
  done,
  blocked,        // there is no memory now; it begins anew
  out_of_budget,  // goes on in the next turn
};

class BodyCopy {
 public:
  bool under_way() const { return builder_.has_value(); }
  // False: there is no memory now. `from` is there until the copy is done or abandoned.
  bool begin(broker::MessagePool& pool, const broker::MessageHead& head, const broker::Message& from);
  // At most `budget` octets, which become fewer. Done: `made` has the message with one reference, which is the
  // caller's.
  Copying work(size_t& budget, broker::Message*& made);
  void abandon();

 private:
  std::optional<broker::MessageBuilder> builder_;
  std::optional<broker::PayloadCursor> left_;
};

}  // namespace talaria::amqp091::session
