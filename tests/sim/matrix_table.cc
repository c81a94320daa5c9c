#include "tests/sim/matrix_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/sim/matrix.h"

namespace talaria::sim {

void MatrixTable::add(uint64_t number, double share) {
  const Cell cell = cell_of(number);
  if (*cell.trouble)
    troubles_[cell.trouble] = share;
  else
    shares_[{cell.loss, std::chrono::duration<double>(cell.delay).count() * 1000}].push_back(share);
}

std::string MatrixTable::markdown() const {
  std::set<double> losses, delays;
  for (const auto& [place, shares] : shares_) {
    losses.insert(place.first);
    delays.insert(place.second);
  }
  char text[160];
  std::string table = "| loss |";
  for (double delay : delays) {
    std::snprintf(text, sizeof text, " delay %g ms |", delay);
    table += text;
  }
  table += "\n|---|";
  for (size_t i = 0; i < delays.size(); i++) table += "---|";
  table += "\n";
  for (double loss : losses) {
    std::snprintf(text, sizeof text, "| %g %% |", 100 * loss);
    table += text;
    for (double delay : delays) {
      const auto found = shares_.find({loss, delay});
      if (found == shares_.end()) {
        table += " |";
        continue;
      }
      std::vector<double> shares = found->second;
      std::ranges::sort(shares);
      std::snprintf(text, sizeof text, " %.0f %% (%.0f %%) of %zu |", 100 * shares[shares.size() / 2], 100 * shares[0],
                    shares.size());
      table += text;
    }
    table += "\n";
  }
  for (const auto& [trouble, share] : troubles_) {
    std::snprintf(text, sizeof text, "\n%s: %s", trouble.c_str(), share > 0 ? "came through in time" : "FAILED");
    table += text;
  }
  return table + "\n";
}

bool write_between_marks(const std::string& path, const std::string& mark, const std::string& text) {
  std::ifstream in(path);
  std::stringstream whole;
  whole << in.rdbuf();
  std::string document = whole.str();
  const std::string begin = "<!-- " + mark + ": begin -->\n", end = "<!-- " + mark + ": end -->";
  const size_t from = document.find(begin), to = document.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from) return false;
  document.replace(from + begin.size(), to - from - begin.size(), text);
  std::ofstream(path) << document;
  return true;
}

}  // namespace talaria::sim
