#include "control/permissions.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace talaria::control {
namespace {

// A name has at most 255 bytes: an honest pattern needs a few thousand steps for it. Patterns may be this long.
constexpr uint32_t match_limit = 100'000;
constexpr uint32_t depth_limit = 1'000;
constexpr uint32_t heap_limit_kib = 1'024;
constexpr size_t pattern_size_max = 4'096;

struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

std::string error_text(int code) {
  PCRE2_UCHAR text[128];
  if (pcre2_get_error_message(code, text, sizeof text) < 0) return "error " + std::to_string(code);
  return reinterpret_cast<const char*>(text);
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Pattern::Code {
  ~Code() { pcre2_code_free(compiled); }
  pcre2_code* compiled = nullptr;
};

std::expected<Pattern, std::string> Pattern::compile(std::string text, Empty empty) {
  const std::string effective = text.empty() && empty == Empty::matches_nothing ? "^$" : text;
  return compile_as(std::move(text), effective);
}

std::expected<Pattern, std::string> Pattern::compile_as(std::string text, std::string_view effective) {
  if (text.size() > pattern_size_max) return std::unexpected("a pattern is longer than 4096 bytes");
  int error = 0;
  PCRE2_SIZE where = 0;
  auto code = std::make_shared<Code>();
  code->compiled = pcre2_compile(units(effective), effective.size(), PCRE2_NEVER_BACKSLASH_C, &error, &where, nullptr);
  if (!code->compiled)
    return std::unexpected("pattern '" + text + "' is not valid at " + std::to_string(where) + ": " +
                           error_text(error));
  return Pattern(std::move(text), std::move(code));
}

bool Pattern::matches(std::string_view name) const {
  std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
  std::unique_ptr<pcre2_match_data, FreeContext> data(pcre2_match_data_create(1, nullptr));
  if (!context || !data) return false;
  pcre2_set_match_limit(context.get(), match_limit);
  pcre2_set_depth_limit(context.get(), depth_limit);
  pcre2_set_heap_limit(context.get(), heap_limit_kib);
  return pcre2_match(code_->compiled, units(name), name.size(), 0, 0, data.get(), context.get()) >= 0;
}

std::expected<Permission, std::string> Permission::compile(std::string configure, std::string write, std::string read) {
  auto compiled_configure = Pattern::compile(std::move(configure));
  if (!compiled_configure) return std::unexpected(compiled_configure.error());
  auto compiled_write = Pattern::compile(std::move(write));
  if (!compiled_write) return std::unexpected(compiled_write.error());
  auto compiled_read = Pattern::compile(std::move(read));
  if (!compiled_read) return std::unexpected(compiled_read.error());
  return Permission{*std::move(compiled_configure), *std::move(compiled_write), *std::move(compiled_read)};
}

bool Permission::allows(broker::Access access, std::string_view name) const {
  name = permission_name(name);
  switch (access) {
    case broker::Access::configure: return configure.matches(name);
    case broker::Access::write: return write.matches(name);
    case broker::Access::read: return read.matches(name);
  }
  return false;
}

namespace {

// What is neither a letter nor a digit means itself behind a backslash.
std::string quoted(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80) != 0;
    if (!plain) out += '\\';
    out += c;
  }
  return out;
}

// One pass, so that what stands in a name is not taken for a variable.
std::string expanded(const std::string& pattern, const std::string& user, const std::string& vhost) {
  constexpr std::string_view user_variable = "{username}", vhost_variable = "{vhost}";
  std::string out;
  for (size_t at = 0; at < pattern.size();) {
    const std::string_view rest = std::string_view(pattern).substr(at);
    if (rest.starts_with(user_variable)) {
      out += quoted(user);
      at += user_variable.size();
    } else if (rest.starts_with(vhost_variable)) {
      out += quoted(vhost);
      at += vhost_variable.size();
    } else {
      out += pattern[at++];
    }
  }
  return out;
}

}  // namespace

std::expected<TopicPermission, std::string> TopicPermission::compile(const std::string& user, const std::string& vhost,
                                                                     std::string write, std::string read) {
  const auto compiled = [&](std::string& text) {
    std::string effective = text.empty() ? "^$" : expanded(text, user, vhost);
    if (text.find("{client_id}") != std::string::npos) effective = "(?!)";
    return Pattern::compile_as(std::move(text), effective);
  };
  auto compiled_write = compiled(write);
  if (!compiled_write) return std::unexpected(compiled_write.error());
  auto compiled_read = compiled(read);
  if (!compiled_read) return std::unexpected(compiled_read.error());
  return TopicPermission{*std::move(compiled_write), *std::move(compiled_read)};
}

std::string_view access_name(broker::Access access) {
  switch (access) {
    case broker::Access::configure: return "configure";
    case broker::Access::write: return "write";
    case broker::Access::read: return "read";
  }
  return "";
}

}  // namespace talaria::control
