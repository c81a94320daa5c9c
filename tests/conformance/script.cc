#include "tests/conformance/script.h"

#include <cctype>
#include <filesystem>
#include <fstream>

#include "tests/conformance/error.h"

namespace talaria::conformance {
namespace {

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

}  // namespace

Script read_script(const std::string& path) {
  Script script;
  script.path = path;
  script.name = std::filesystem::path(path).stem();
  std::ifstream file(path);
  if (!file) throw Failure("cannot be read");
  std::string text;
  for (int number = 1; std::getline(file, text); number++) {
    const size_t comment = text.find('#');
    if (comment == 0) {
      const std::string said = trimmed(std::string_view(text).substr(1));
      const size_t colon = said.find(": ");
      const std::string key = said.substr(0, colon), value = colon == std::string::npos ? "" : said.substr(colon + 2);
      if (key == "behaviour" || key == "bug" || key == "unsupported" || key == "attack") {
        script.kind = key;
        script.title = value;
      }
      script.has_rfc = script.has_rfc || key == "rfc";
      script.shows = script.shows || key == "shows";
      if (key == "state") script.state = value;
      if (key == "fails") script.fails = value;
    }
    std::string line = trimmed(std::string_view(text).substr(0, comment));
    if (!line.empty()) script.lines.push_back({number, std::move(line)});
  }
  if (std::isdigit(static_cast<unsigned char>(script.name[0]))) script.listed = std::stoi(script.name);
  return script;
}

void check_header(const Script& script) {
  if (script.title.empty() || !script.has_rfc || !script.shows)
    throw Failure("its header says not all of: behaviour (bug, unsupported, attack), rfc, shows");
  if ((script.listed > 0) != (script.kind == "behaviour"))
    throw Failure("a script of a behaviour begins with its number, and only such a one");
  if (script.lines.empty()) throw Failure("it says nothing");
}

}  // namespace talaria::conformance
