#include "control/memory_store.h"

#include <string_view>

#include "control/catalog.h"

namespace talaria::control {
namespace {

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (std::string_view part : parts) out += std::to_string(part.size()) + ":" + std::string(part);
  return out;
}

std::string key_of(const UserRow& row) { return row.name; }
std::string key_of(const VhostRow& row) { return row.name; }
std::string key_of(const PermissionRow& row) { return joined({row.user, row.vhost}); }
std::string key_of(const TopicPermissionRow& row) { return joined({row.user, row.vhost, row.exchange}); }
std::string key_of(const ExchangeRow& row) { return joined({row.vhost, row.name}); }
std::string key_of(const QueueRow& row) { return joined({row.vhost, row.name}); }
std::string key_of(const BindingRow& row) {
  return joined({row.vhost, row.source, row.destination, row.destination_is_queue ? "q" : "e", row.key,
                 canonical(row.arguments)});
}
std::string key_of(const PolicyRow& row) { return joined({row.vhost, row.name, row.of_operators ? "o" : "u"}); }

template <class Row>
std::vector<Row> rows(const std::map<std::string, Row>& table) {
  std::vector<Row> out;
  out.reserve(table.size());
  for (const auto& [key, row] : table) out.push_back(row);
  return out;
}

template <class Row>
void apply_to(std::map<std::string, Row>& table, const Put<Row>& put) {
  table.insert_or_assign(key_of(put.row), put.row);
}
template <class Row>
void apply_to(std::map<std::string, Row>& table, const Erase<Row>& erase) {
  table.erase(key_of(erase.row));
}

}  // namespace

StoreContents MemoryStore::load() {
  return {rows(users_),  rows(vhosts_),   rows(permissions_), rows(exchanges_),
          rows(queues_), rows(bindings_), rows(policies_),    rows(topic_permissions_)};
}

void MemoryStore::save(std::span<const Edit> edits) {
  if (failures_ > 0) {
    failures_--;
    throw StoreError("the store was told to fail");
  }
  saves_++;
  for (const Edit& edit : edits) apply(edit);
}

void MemoryStore::apply(const Edit& edit) {
  std::visit(
      [this](const auto& step) {
        using Row = decltype(step.row);
        if constexpr (std::is_same_v<Row, UserRow>)
          apply_to(users_, step);
        else if constexpr (std::is_same_v<Row, VhostRow>)
          apply_to(vhosts_, step);
        else if constexpr (std::is_same_v<Row, PermissionRow>)
          apply_to(permissions_, step);
        else if constexpr (std::is_same_v<Row, ExchangeRow>)
          apply_to(exchanges_, step);
        else if constexpr (std::is_same_v<Row, QueueRow>)
          apply_to(queues_, step);
        else if constexpr (std::is_same_v<Row, BindingRow>)
          apply_to(bindings_, step);
        else if constexpr (std::is_same_v<Row, PolicyRow>)
          apply_to(policies_, step);
        else
          apply_to(topic_permissions_, step);
      },
      edit);
}

}  // namespace talaria::control
