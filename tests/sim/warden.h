// Somebody who says what users may do while they do it: takes the right to read queues from them and gives it back, and
// lets them sign with any name for a while. It comes before everybody else, and tells the model of each decree when it
// goes out and when it is answered. In the end everybody may do everything again.
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/lasting_client.h"
#include "tests/sim/model.h"

namespace talaria::sim {

struct WardenPlan {
  std::vector<std::string> users;   // that it makes; their passwords are their names
  std::vector<std::string> queues;  // that they may be kept from
  Duration pause_max = 100ms;       // between decrees
  bool any_name = false;            // whatever it says, they may sign with any name
};

class Warden final : public LastingClient {
 public:
  Warden(World& world, Random random, Model& model, WardenPlan plan, Connect connect);

  // The users are there.
  bool ready() const { return ready_; }
  // Takes back all that it has decreed, and goes.
  void finish() { finishing_ = true; }
  std::string describe() const;

 private:
  struct Order {
    std::string user, event;  // that tells of it
    std::string verb, body;
  };
  struct Decree {
    std::string user, queue;  // as in the model
    size_t number = 0;        // the model's
  };

  void begin() override;
  bool work(Time now) override;
  Time next_work() const override { return ready_ && !awaiting_ && !closing_ ? next_decree_ : base::never; }
  void on_reply(uint16_t channel, const Reply& reply, base::Bytes properties, base::Bytes body) override;
  void next_order();
  void give(const Order& order);
  void decree();
  void repeal(size_t index);
  Order permissions_of(const std::string& user) const;
  Order tags_of(const std::string& user) const;

  Model& model_;
  WardenPlan plan_;
  std::deque<Order> orders_;  // before anything else
  std::vector<Decree> decrees_;
  std::optional<Decree> repealing_;
  bool ready_ = false, awaiting_ = false, finishing_ = false, closing_ = false;
  Time next_decree_{};
};

}  // namespace talaria::sim
