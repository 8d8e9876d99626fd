#include "ssd/eval/text_table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr uint32_t kWide[][2] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e},   {0x3041, 0x33ff},   {0x3400, 0x4dbf},  {0x4e00, 0x9fff},
    {0xa000, 0xa4cf}, {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},  {0xff00, 0xff60},
    {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
constexpr uint32_t kCombining[][2] = {
    {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x64b, 0x65f},  {0x93c, 0x93c},
    {0x941, 0x948},   {0x94d, 0x94d},   {0xe31, 0xe31},   {0xe34, 0xe3a},  {0xe47, 0xe4e},
    {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};

template <size_t N>
bool In(const uint32_t (&ranges)[N][2], uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](const uint32_t(&r)[2]) { return code >= r[0] && code <= r[1]; });
}

}  // namespace

int64_t DisplayWidth(absl::string_view text) {
  int64_t width = 0;
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < text.size() ? static_cast<unsigned char>(text[at]) & 0x3fu : 0;
    };
    const uint32_t lead = static_cast<unsigned char>(text[i]);
    uint32_t code = lead;
    size_t length = 1;
    if (lead >= 0xf0) {
      code = (lead & 7) << 18 | byte(i + 1) << 12 | byte(i + 2) << 6 | byte(i + 3);
      length = 4;
    } else if (lead >= 0xe0) {
      code = (lead & 15) << 12 | byte(i + 1) << 6 | byte(i + 2);
      length = 3;
    } else if (lead >= 0xc0) {
      code = (lead & 31) << 6 | byte(i + 1);
      length = 2;
    }
    if (i + length > text.size()) return width + 1;  // cut off
    i += length;
    if (!In(kCombining, code)) width += In(kWide, code) ? 2 : 1;
  }
  return width;
}

void TextTable::AddRow(std::vector<std::string> cells) {
  CHECK_EQ(cells.size(), columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::Render() const {
  std::vector<int64_t> widths(columns_.size(), 0);
  for (const std::vector<std::string>& row : rows_) {
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], DisplayWidth(row[c]));
  }
  int64_t total = 2 * (static_cast<int64_t>(widths.size()) - 1);
  for (const int64_t width : widths) total += width;
  const std::string rule(std::max<int64_t>(total, 0), '-');

  std::string text;
  bool head = true;
  for (const std::vector<std::string>& row : rows_) {
    if (row.empty()) {
      absl::StrAppend(&text, rule, "\n");
      continue;
    }
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const std::string padding(widths[c] - DisplayWidth(row[c]), ' ');
      absl::StrAppend(&line, c == 0 ? "" : "  ");
      if (columns_[c] == Align::kRight) absl::StrAppend(&line, padding, row[c]);
      if (columns_[c] == Align::kLeft) absl::StrAppend(&line, row[c], padding);
    }
    absl::StrAppend(&text, absl::StripTrailingAsciiWhitespace(line), "\n");
    if (head) absl::StrAppend(&text, rule, "\n");
    head = false;
  }
  return text;
}

}  // namespace ssd
