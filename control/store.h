// What outlives the process: users, vhosts, permissions and the durable part of the topology, as rows.
//
// The control thread alone calls it. A store is dumb: the plane says which rows come and go, the store makes them all
// true or none of them, and they are on disk when `save` returns. Removing a vhost does not remove what lies in it; the
// plane lists that too. What cannot be done throws StoreError and leaves everything as it was.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "control/operator_limits.h"
#include "core/base/field.h"

namespace talaria::control {

struct UserRow {
  std::string name;
  std::string password_hash;  // base64(salt || digest), see password.h; "" lets nobody in
  std::string hashing_algorithm;
  std::vector<std::string> tags;
  OperatorLimits limits{};
};
struct VhostRow {
  std::string name;
  std::string description;
  std::vector<std::string> tags;
  OperatorLimits limits{};
};
struct PermissionRow {
  std::string user, vhost;
  std::string configure, write, read;  // regular expressions, see permissions.h
};
struct TopicPermissionRow {
  std::string user, vhost, exchange;
  std::string write, read;  // regular expressions over routing keys, see permissions.h
};
struct ExchangeRow {
  std::string vhost, name;
  std::string type;
  bool auto_delete = false, internal = false;
  base::FieldTable arguments;
  bool durable = true;  // false only in definitions: such a row never reaches a store
};
struct QueueRow {
  std::string vhost, name;
  bool auto_delete = false;
  base::FieldTable arguments;
  bool durable = true;  // as an exchange's
};
struct BindingRow {
  std::string vhost, source, destination;
  bool destination_is_queue = true;
  std::string key;
  base::FieldTable arguments;
};

// A policy of users or of operators, see policies.h.
struct PolicyRow {
  std::string vhost, name;
  bool of_operators = false;
  std::string pattern;
  std::string apply_to = "all";
  int64_t priority = 0;
  base::FieldTable definition;
};

struct StoreContents {
  std::vector<UserRow> users;
  std::vector<VhostRow> vhosts;
  std::vector<PermissionRow> permissions;
  std::vector<ExchangeRow> exchanges;
  std::vector<QueueRow> queues;
  std::vector<BindingRow> bindings;
  std::vector<PolicyRow> policies{};
  std::vector<TopicPermissionRow> topic_permissions{};
  // Only in definitions, where a vhost's limits stand apart from it: they replace what the row says.
  std::vector<std::pair<std::string, OperatorLimits>> vhost_limits{};
};

// A row that is there from now on (in place of the one that had its key), or is there no longer. Of a row to be erased
// only the key counts: name; user and vhost (and exchange); vhost and name; a policy's whose it is, too; a binding's
// every field.
template <class Row>
struct Put {
  Row row;
};
template <class Row>
struct Erase {
  Row row;
};
using Edit = std::variant<Put<UserRow>, Erase<UserRow>, Put<VhostRow>, Erase<VhostRow>, Put<PermissionRow>,
                          Erase<PermissionRow>, Put<ExchangeRow>, Erase<ExchangeRow>, Put<QueueRow>, Erase<QueueRow>,
                          Put<BindingRow>, Erase<BindingRow>, Put<PolicyRow>, Erase<PolicyRow>, Put<TopicPermissionRow>,
                          Erase<TopicPermissionRow>>;

class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Store {
 public:
  virtual ~Store() = default;

  // Everything, in no particular order.
  virtual StoreContents load() = 0;
  // All of it or nothing. Erasing what is not there is no error.
  virtual void save(std::span<const Edit> edits) = 0;
};

}  // namespace talaria::control
