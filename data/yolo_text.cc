#include "data/yolo_text.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kByteOrderMark[] = "\xef\xbb\xbf";

// --- label files ---

// Around the points of `numbers` from the second on: x, y, x, y, ...
PixelBox BoxAround(const std::vector<double>& numbers) {
  PixelBox box = {numbers[1], numbers[2], numbers[1], numbers[2]};
  for (size_t i = 1; i + 1 < numbers.size(); i += 2) {
    // Comparisons would pass NaN over.
    if (!std::isfinite(numbers[i]) || !std::isfinite(numbers[i + 1])) {
      box.x0 = std::numeric_limits<double>::quiet_NaN();
      return box;
    }
    box.x0 = std::min(box.x0, numbers[i]);
    box.x1 = std::max(box.x1, numbers[i]);
    box.y0 = std::min(box.y0, numbers[i + 1]);
    box.y1 = std::max(box.y1, numbers[i + 1]);
  }
  return box;
}

// What is wrong with a line; empty if nothing is.
std::string ParseObject(absl::string_view line, YoloObject& object) {
  std::vector<double> numbers;
  for (const absl::string_view token :
       absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty())) {
    double number = 0;
    if (!absl::SimpleAtod(token, &number)) {
      return absl::StrCat("'", token, "' is no number; want class cx cy w h");
    }
    numbers.push_back(number);
  }
  constexpr size_t kBoxNumbers = 5;
  constexpr size_t kFewestOfPolygon = 7;
  const bool is_polygon = numbers.size() >= kFewestOfPolygon && numbers.size() % 2 == 1;
  if (numbers.size() != kBoxNumbers && !is_polygon) {
    return absl::StrCat("has ", numbers.size(),
                        " numbers; want five, class cx cy w h, or class and the corners of a "
                        "polygon");
  }
  constexpr double kMostClasses = 1e6;
  const double index = numbers[0];
  if (!(index >= 0 && index < kMostClasses && index == std::floor(index))) {
    return absl::StrCat("class ", index, " is no whole number from 0");
  }
  object.class_index = static_cast<int64_t>(index);
  object.box = is_polygon ? BoxAround(numbers)
                          : PixelBox{numbers[1] - numbers[3] / 2, numbers[2] - numbers[4] / 2,
                                     numbers[1] + numbers[3] / 2, numbers[2] + numbers[4] / 2};
  return "";
}

// --- class names ---

// Collects names by class, in any order.
class Names {
 public:
  explicit Names(std::string file) : file_(std::move(file)) {}

  absl::Status Error(int64_t line, absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, line > 0 ? absl::StrCat(":", line) : "", ": ", message));
  }

  absl::Status AddNext(std::string name, int64_t line) {
    return Add(static_cast<int64_t>(names_.size()), std::move(name), line);
  }
  absl::Status Add(int64_t index, std::string name, int64_t line) {
    if (name.empty()) return Error(line, absl::StrCat("class ", index, " has an empty name"));
    if (names_.emplace(index, std::move(name)).second) return absl::OkStatus();
    return Error(line, absl::StrCat("class ", index, " is named twice; delete one"));
  }

  // \error InvalidArgument if there is none, or a number is left out.
  absl::StatusOr<std::vector<std::string>> List() const {
    if (names_.empty()) return Error(0, "names no class");
    std::vector<std::string> list;
    for (const auto& [index, name] : names_) {
      if (index != static_cast<int64_t>(list.size())) {
        return Error(0, absl::StrCat("names class ", index, " but not class ", list.size(),
                                     "; name all, from 0"));
      }
      list.push_back(name);
    }
    return list;
  }

 private:
  const std::string file_;
  std::map<int64_t, std::string> names_;
};

// Reads `names` of a data.yaml.
class NamesReader {
 public:
  NamesReader(absl::string_view text, Names& names) : text_(text), names_(names) {}

  absl::Status Read() {
    constexpr absl::string_view kKey = "names:";
    while (place_ < text_.size() && !absl::StartsWith(text_.substr(place_), kKey)) SkipLine();
    if (place_ == text_.size()) {
      return names_.Error(0, "no key 'names' at the left margin; want names: [a, b]");
    }
    place_ += kKey.size();
    SkipSpaces();
    if (Peek() == '[' || Peek() == '{') return ReadFlow();
    if (!IsAtLineEnd()) {
      return Error("the value of 'names' is neither a list nor a map; want names: [a, b]");
    }
    SkipLine();
    return ReadLines();
  }

 private:
  // NUL at the end.
  char Peek(size_t ahead = 0) const {
    return place_ + ahead < text_.size() ? text_[place_ + ahead] : '\0';
  }
  absl::Status Error(absl::string_view message) const { return names_.Error(line_, message); }

  void SkipSpaces() {
    while (Peek() == ' ' || Peek() == '\t' || Peek() == '\r') ++place_;
  }
  // Comments stand behind a space or at a line's beginning.
  bool IsAtComment() const {
    return Peek() == '#' && (place_ == 0 || text_[place_ - 1] == ' ' || text_[place_ - 1] == '\t' ||
                             text_[place_ - 1] == '\n');
  }
  // After spaces.
  bool IsAtLineEnd() const { return place_ == text_.size() || Peek() == '\n' || IsAtComment(); }

  void SkipLine() {
    while (place_ < text_.size() && Peek() != '\n') ++place_;
    if (place_ == text_.size()) return;
    ++place_;
    ++line_;
  }
  void SkipSpacesAndLines() {
    SkipSpaces();
    while (place_ < text_.size() && IsAtLineEnd()) {
      SkipLine();
      SkipSpaces();
    }
  }

  // [a, b] or {0: a, 1: b}, over any lines.
  absl::Status ReadFlow() {
    const bool is_list = Peek() == '[';
    const char end = is_list ? ']' : '}';
    ++place_;
    for (;;) {
      SkipSpacesAndLines();
      if (Peek() == end) return absl::OkStatus();
      SSD_RETURN_IF_ERROR(is_list ? ReadItem(",]") : ReadEntry(",}"));
      SkipSpacesAndLines();
      if (Peek() == ',') {
        ++place_;
      } else if (Peek() != end) {
        return Error(absl::StrCat("want ',' or '", std::string(1, end), "' after a class name"));
      }
    }
  }

  // "- a" or "0: a" on each line, up to another key or the end.
  absl::Status ReadLines() {
    while (place_ < text_.size()) {
      const bool is_indented = Peek() == ' ' || Peek() == '\t';
      SkipSpaces();
      if (IsAtLineEnd()) {
        SkipLine();
        continue;
      }
      const char next = Peek(1);
      const bool is_item =
          Peek() == '-' && (next == ' ' || next == '\t' || next == '\r' || next == '\n');
      if (is_item) {
        ++place_;
        SkipSpaces();
        SSD_RETURN_IF_ERROR(ReadItem(""));
      } else if (is_indented) {
        SSD_RETURN_IF_ERROR(ReadEntry(""));
      } else {
        break;
      }
      SkipSpaces();
      if (!IsAtLineEnd()) return Error("text follows a class name; put the name in quotes");
      SkipLine();
    }
    return absl::OkStatus();
  }

  absl::Status ReadItem(absl::string_view ends) {
    const int64_t line = line_;
    SSD_ASSIGN_OR_RETURN(std::string name, ReadScalar(ends));
    return names_.AddNext(std::move(name), line);
  }

  absl::Status ReadEntry(absl::string_view ends) {
    const int64_t line = line_;
    const size_t start = place_;
    while (absl::ascii_isdigit(static_cast<unsigned char>(Peek()))) ++place_;
    int64_t index = 0;
    const bool is_index = absl::SimpleAtoi(text_.substr(start, place_ - start), &index);
    SkipSpaces();
    if (!is_index || Peek() != ':') {
      return Error("want '- NAME' or 'NUMBER: NAME' for each class");
    }
    ++place_;
    SkipSpaces();
    SSD_ASSIGN_OR_RETURN(std::string name, ReadScalar(ends));
    return names_.Add(index, std::move(name), line);
  }

  // A name in quotes, or plain up to one of `ends`, a comment or the line's end.
  absl::StatusOr<std::string> ReadScalar(absl::string_view ends) {
    const char first = Peek();
    if (first == '\'' || first == '"') return ReadQuoted(first);
    constexpr absl::string_view kOfYaml = "[]{}&*!|>%@`,?";
    if (first != '\0' && kOfYaml.find(first) != absl::string_view::npos) {
      return Error(
          absl::StrCat("a class name begins with '", std::string(1, first), "'; put it in quotes"));
    }
    const size_t start = place_;
    while (!IsAtLineEnd() && ends.find(Peek()) == absl::string_view::npos) ++place_;
    return std::string(absl::StripAsciiWhitespace(text_.substr(start, place_ - start)));
  }

  absl::StatusOr<std::string> ReadQuoted(char quote) {
    ++place_;
    std::string name;
    for (;; ++place_) {
      char byte = Peek();
      if (place_ == text_.size() || byte == '\n') return Error("a quoted class name has no end");
      if (byte == quote) {
        const bool is_escape = quote == '\'' && Peek(1) == '\'';
        if (!is_escape) break;
        ++place_;
      } else if (byte == '\\' && quote == '"') {
        ++place_;
        byte = Peek();
        if (byte != '"' && byte != '\\') {
          return Error("an escape other than \\\" and \\\\ in a class name; use single quotes");
        }
      }
      name += byte;
    }
    ++place_;
    return name;
  }

  const absl::string_view text_;
  Names& names_;
  size_t place_ = 0;
  int64_t line_ = 1;
};

}  // namespace

YoloLabels ParseYoloLabels(absl::string_view text) {
  absl::ConsumePrefix(&text, kByteOrderMark);
  YoloLabels labels;
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(line).empty()) continue;
    YoloObject object;
    object.line = number;
    std::string fault = ParseObject(line, object);
    if (fault.empty()) {
      labels.objects.push_back(object);
    } else {
      labels.faults.push_back({number, std::move(fault)});
    }
  }
  return labels;
}

absl::StatusOr<std::vector<std::string>> ParseYoloNames(absl::string_view text,
                                                        const std::string& name) {
  absl::ConsumePrefix(&text, kByteOrderMark);
  Names names(name);
  const std::string extension =
      absl::AsciiStrToLower(std::filesystem::path(name).extension().string());
  if (extension == ".yaml" || extension == ".yml") {
    SSD_RETURN_IF_ERROR(NamesReader(text, names).Read());
    return names.List();
  }
  int64_t number = 0;
  for (const absl::string_view line :
       absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n')) {
    SSD_RETURN_IF_ERROR(names.AddNext(std::string(absl::StripAsciiWhitespace(line)), ++number));
  }
  return names.List();
}

}  // namespace ssd
