#ifndef SSD_EVAL_TEXT_TABLE_H_
#define SSD_EVAL_TEXT_TABLE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace ssd {

// Columns that UTF-8 text takes in a terminal: letters of East Asian scripts two, combining marks
// none (the wide ranges of Unicode's EastAsianWidth, without every exception).
int64_t DisplayWidth(absl::string_view text);

// A table for a terminal: first row the heads, below a rule, columns two spaces apart.
class TextTable {
 public:
  enum class Align { kLeft, kRight };

  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns.
  void AddRow(std::vector<std::string> cells);
  void AddRule() { rows_.emplace_back(); }

  // Every line ends with a newline; none with a space.
  std::string Render() const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;  // an empty one is a rule
};

}  // namespace ssd

#endif  // SSD_EVAL_TEXT_TABLE_H_
