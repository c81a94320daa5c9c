// What a user may do in a vhost: three regular expressions, for configure, write and read, matched against the names of
// exchanges and queues as RabbitMQ matches them. A pattern is searched for anywhere in the name unless it anchors
// itself
// ("^logs\." does); the empty pattern stands for "^$" and so matches no name at all. The default exchange, whose name
// is empty, is looked for as "amq.default".
//
// Patterns are compiled once, when they are set. PCRE2 works with a match limit: a pattern that runs wild on some name
// is refused access, which is the safe answer. The control thread alone uses them.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "core/broker/requests.h"

namespace talaria::control {

class Pattern {
 public:
  // Permissions and policies understand the empty pattern differently.
  enum class Empty : uint8_t { matches_nothing, matches_everything };
  // The error is a sentence for the operator.
  static std::expected<Pattern, std::string> compile(std::string text, Empty empty = Empty::matches_nothing);

  bool matches(std::string_view name) const;
  const std::string& text() const { return text_; }

 private:
  struct Code;
  friend struct TopicPermission;
  static std::expected<Pattern, std::string> compile_as(std::string text, std::string_view effective);
  Pattern(std::string text, std::shared_ptr<const Code> code) : text_(std::move(text)), code_(std::move(code)) {}

  std::string text_;
  std::shared_ptr<const Code> code_;
};

// What the default exchange is called where it is about permissions.
inline std::string_view permission_name(std::string_view name) { return name.empty() ? "amq.default" : name; }

struct Permission {
  Pattern configure, write, read;

  static std::expected<Permission, std::string> compile(std::string configure, std::string write, std::string read);
  bool allows(broker::Access access, std::string_view name) const;
};

// Which routing keys a user may publish to a topic exchange with (write), and bind to it with (read). `{username}` and
// `{vhost}` in a pattern stand for these names, taken literally; `{client_id}` for what clients of AMQP 0-9-1 do not
// have: a pattern with it matches nothing.
struct TopicPermission {
  Pattern write, read;

  static std::expected<TopicPermission, std::string> compile(const std::string& user, const std::string& vhost,
                                                             std::string write, std::string read);
};

std::string_view access_name(broker::Access access);

}  // namespace talaria::control
