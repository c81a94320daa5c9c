// A client that listens to what the broker tells of itself, and asks it: events on amq.talaria.event, copies of all
// that is published and delivered on amq.talaria.trace, and listings by messages to amq.talaria.management. It comes
// before everybody else, and passes all of it to the model, which knows what must and may be told.
#pragma once

#include <deque>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/base/field.h"
#include "tests/sim/lasting_client.h"
#include "tests/sim/model.h"

namespace talaria::sim {

struct WitnessPlan {
  bool events = false;
  // How many were lost for want of memory: that is nobody's fault.
  std::function<uint64_t()> events_lost = [] { return uint64_t{0}; };
  bool traces = false;
  std::function<uint64_t()> traces_lost = events_lost;
  const char* traced = "#";  // the key with which it listens to the firehose
  bool asks = false;
  Duration ask_every_max = 100ms;

  bool any() const { return events || asks || traces; }
};

class Witness final : public LastingClient {
 public:
  Witness(World& world, Random random, Model& model, WitnessPlan plan, Connect connect);

  // It hears what happens from now on, and has begun to ask.
  bool ready() const { return ready_; }
  // It asks once more, and then no more.
  void finish() { last_questions_ = static_cast<int>(questions_max); }
  // After that: everything has been told, and the last answers were right.
  bool satisfied() const { return describe().empty(); }
  std::string describe() const;
  void close();

 private:
  static constexpr size_t questions_max = 3;  // different ones

  void begin() override;
  bool work(Time now) override;
  Time next_work() const override { return asks() ? ask_at_ : base::never; }
  void on_reply(uint16_t channel, const Reply& reply, base::Bytes properties, base::Bytes body) override;
  void prepare();
  void next_step();
  // It has a question, and waits for its time.
  bool asks() const { return ready_ && plan_.asks && !asking_ && !closing_ && last_questions_ != 0; }
  void ask(Time now);
  void on_event(const std::string& key, base::Bytes properties);
  void on_trace(const std::string& key, base::Bytes properties, base::Bytes body);
  void on_answer(base::Bytes body);
  void on_queues(const nlohmann::json& rows) const;
  void on_bindings(const nlohmann::json& rows) const;
  void on_consumers(const nlohmann::json& rows) const;

  struct Step {
    Command command;
    uint32_t reply = 0;
    std::string verb = {};  // in the place of a command
  };

  Model& model_;
  WitnessPlan plan_;
  std::deque<Step> steps_;
  bool ready_ = false, closing_ = false;
  size_t question_ = 0;  // the one under way
  bool asking_ = false;
  int last_questions_ = -1;  // how many are to come; -1: it goes on
  Time asked_{};
  Time ask_at_{};
};

}  // namespace talaria::sim
