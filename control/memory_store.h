// A store that forgets with the process: for the simulator and the tests. One thread. A test can make it fail.
#pragma once

#include <map>
#include <string>

#include "control/store.h"

namespace talaria::control {

class MemoryStore final : public Store {
 public:
  StoreContents load() override;
  void save(std::span<const Edit> edits) override;

  // The next `count` calls of save throw, as on a full disk.
  void fail_next(unsigned count) { failures_ = count; }
  size_t saves() const { return saves_; }

 private:
  void apply(const Edit& edit);

  std::map<std::string, UserRow> users_;
  std::map<std::string, VhostRow> vhosts_;
  std::map<std::string, PermissionRow> permissions_;
  std::map<std::string, ExchangeRow> exchanges_;
  std::map<std::string, QueueRow> queues_;
  std::map<std::string, BindingRow> bindings_;
  std::map<std::string, PolicyRow> policies_;
  std::map<std::string, TopicPermissionRow> topic_permissions_;
  unsigned failures_ = 0;
  size_t saves_ = 0;
};

}  // namespace talaria::control
