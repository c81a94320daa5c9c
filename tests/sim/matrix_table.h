// The matrix's figures as a table in Markdown: for each loss and delay what share of what is possible was reached, over
// all rates, buffers, with and without reordering and duplication.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace talaria::sim {

class MatrixTable {
 public:
  // Share: of what the cell allows; 0 if the run did not hold.
  void add(uint64_t cell, double share);
  std::string markdown() const;

 private:
  std::map<std::pair<double, double>, std::vector<double>> shares_;  // by loss and delay in milliseconds
  std::map<std::string, double> troubles_;
};

// Puts the text between the two lines that mark its place in a document. False if they are not there.
bool write_between_marks(const std::string& path, const std::string& mark, const std::string& text);

}  // namespace talaria::sim
