#include "tests/conformance/expression.h"

#include <cctype>

#include "tests/conformance/error.h"

namespace talaria::conformance {
namespace {

class Evaluator {
 public:
  Evaluator(std::string_view text, const Lookup& lookup) : text_(text), lookup_(lookup) {}

  int64_t whole() {
    const int64_t value = comparison();
    skip_spaces();
    if (at_ != text_.size()) throw Failure("\"" + std::string(text_) + "\" is no expression");
    return value;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') at_++;
  }
  bool take(std::string_view token) {
    skip_spaces();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }

  int64_t comparison() {
    const int64_t left = sum();
    if (take("==")) return left == sum();
    if (take("!=")) return left != sum();
    if (take("<=")) return left <= sum();
    if (take(">=")) return left >= sum();
    if (take("<")) return left < sum();
    if (take(">")) return left > sum();
    return left;
  }
  int64_t sum() {
    int64_t value = product();
    for (;;) {
      if (take("+"))
        value += product();
      else if (take("-"))
        value -= product();
      else
        return value;
    }
  }
  int64_t product() {
    int64_t value = factor();
    for (;;) {
      const char sign = take("*") ? '*' : take("/") ? '/' : take("%") ? '%' : ' ';
      if (sign == ' ') return value;
      const int64_t right = factor();
      if (sign != '*' && right == 0) throw Failure("division by 0 in \"" + std::string(text_) + "\"");
      value = sign == '*' ? value * right : sign == '/' ? value / right : value % right;
    }
  }
  int64_t factor() {
    if (take("-")) return -factor();
    if (take("(")) {
      const int64_t value = comparison();
      if (!take(")")) throw Failure("a ) is missing in \"" + std::string(text_) + "\"");
      return value;
    }
    const size_t start = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' ||
                                  (text_[at_] == '.' && text_.substr(at_, 2) != "..")))
      at_++;
    const std::string word(text_.substr(start, at_ - start));
    if (word.empty()) throw Failure("\"" + std::string(text_) + "\" is no expression");
    if (std::isdigit(static_cast<unsigned char>(word[0]))) return std::stoll(word, nullptr, 0);
    return lookup_(word);
  }

  std::string_view text_;
  const Lookup& lookup_;
  size_t at_ = 0;
};

}  // namespace

int64_t evaluate(std::string_view text, const Lookup& lookup) { return Evaluator(text, lookup).whole(); }

std::string substitute(std::string_view text, const Lookup& lookup) {
  std::string out;
  for (size_t at = 0; at < text.size(); at++) {
    if (text[at] != '[') {
      out += text[at];
      continue;
    }
    const size_t end = text.find(']', at);
    if (end == std::string_view::npos) throw Failure("a ] is missing");
    out += std::to_string(evaluate(text.substr(at + 1, end - at - 1), lookup));
    at = end;
  }
  return out;
}

}  // namespace talaria::conformance
