#include "data/table_text.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

constexpr char kWidth[] = "width";
constexpr char kHeight[] = "height";
constexpr char kDifficult[] = "difficult";
constexpr char kCrowd[] = "crowd";
constexpr char kObjects[] = "objects";
constexpr char kBox[] = "box";

absl::Status Wrong(absl::string_view message) { return absl::InvalidArgumentError(message); }

absl::StatusOr<TableOptions::Format> FormatOf(const TableOptions& options,
                                              const std::string& name) {
  if (options.format() != TableOptions::FROM_NAME) return options.format();
  const std::string extension =
      absl::AsciiStrToLower(std::filesystem::path(name).extension().string());
  if (extension == ".csv") return TableOptions::CSV;
  if (extension == ".tsv") return TableOptions::TSV;
  if (extension == ".jsonl" || extension == ".ndjson") return TableOptions::JSON_LINES;
  return Wrong(absl::StrCat(name, ": '", extension,
                            "' does not tell the format (.csv, .tsv, .jsonl, .ndjson); set "
                            "table.format to CSV, TSV or JSON_LINES"));
}

std::vector<std::string> BoxColumns(const TableOptions& options) {
  if (!options.box_column().empty()) {
    return {options.box_column().begin(), options.box_column().end()};
  }
  switch (options.corners()) {
    case TableOptions::X0_Y0_W_H:
      return {"x0", "y0", "w", "h"};
    case TableOptions::CX_CY_W_H:
      return {"cx", "cy", "w", "h"};
    case TableOptions::X0_Y0_X1_Y1:
      break;
  }
  return {"x0", "y0", "x1", "y1"};
}

PixelBox ToBox(const std::array<double, 4>& numbers, TableOptions::Corners corners) {
  const auto [a, b, c, d] = numbers;
  switch (corners) {
    case TableOptions::X0_Y0_W_H:
      return {a, b, a + c, b + d};
    case TableOptions::CX_CY_W_H:
      return {a - c / 2, b - d / 2, a + c / 2, b + d / 2};
    case TableOptions::X0_Y0_X1_Y1:
      break;
  }
  return {a, b, c, d};
}

bool Contains(const std::vector<std::string>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// A side of an image in pixels; some programs write 640.0.
absl::StatusOr<int64_t> ToSide(double number, absl::string_view name) {
  constexpr double kLongest = 1e6;
  if (number >= 0 && number <= kLongest && number == std::floor(number)) {
    return static_cast<int64_t>(number);
  }
  return Wrong(absl::StrCat(name, " is ", number, "; want the image's pixels, or nothing"));
}

absl::StatusOr<bool> ToFlag(double number, absl::string_view name) {
  if (number == 0 || number == 1) return number == 1;
  return Wrong(absl::StrCat(name, " is ", number, "; want 0 or 1"));
}

// Leaves out `row`, of which as much is known as was read until it went `wrong`.
absl::Status LeaveOut(TableRow row, const absl::Status& wrong, const TableFault& fault,
                      TableRows& table) {
  if (!row.image.empty()) table.left_out.push_back(std::move(row.image));
  return fault(row.line, std::string(wrong.message()));
}

// --- CSV and TSV ---

// One record of the text.
struct Record {
  std::vector<std::string> fields;
  int64_t line = 0;
  std::string fault;  // empty: none

  bool IsBlank() const { return fields.size() == 1 && fields[0].empty() && fault.empty(); }
};

// Splits text into records. Quotes are those of RFC 4180; inside an unquoted field they stand for
// themselves.
class RecordReader {
 public:
  RecordReader(absl::string_view text, char separator) : text_(text), separator_(separator) {}

  // The next record, blank lines left out; false at the end.
  bool Next(Record& record) {
    do {
      if (place_ == text_.size()) return false;
      Read(record);
    } while (record.IsBlank());
    return true;
  }

 private:
  void Read(Record& record) {
    record.fields.clear();
    record.fault.clear();
    record.line = line_;
    for (;;) {
      record.fields.push_back(Field(record));
      if (place_ == text_.size()) return;
      const char end = text_[place_++];
      if (end == separator_) continue;
      if (end == '\r' && place_ < text_.size() && text_[place_] == '\n') ++place_;
      ++line_;
      return;
    }
  }

  bool IsSpace(char byte) const { return byte != separator_ && (byte == ' ' || byte == '\t'); }
  bool EndsField(char byte) const { return byte == separator_ || byte == '\n' || byte == '\r'; }
  void SkipSpaces() {
    while (place_ < text_.size() && IsSpace(text_[place_])) ++place_;
  }

  // Up to the separator or line end that is next, or the end of the text.
  std::string Field(Record& record) {
    SkipSpaces();
    if (place_ < text_.size() && text_[place_] == '"') return QuotedField(record);
    return std::string(absl::StripAsciiWhitespace(TakeUnquoted()));
  }

  absl::string_view TakeUnquoted() {
    const size_t start = place_;
    while (place_ < text_.size() && !EndsField(text_[place_])) ++place_;
    return text_.substr(start, place_ - start);
  }

  std::string QuotedField(Record& record) {
    ++place_;
    std::string value;
    for (;;) {
      const size_t quote = text_.find('"', place_);
      const bool has_end = quote != absl::string_view::npos;
      const absl::string_view piece =
          text_.substr(place_, (has_end ? quote : text_.size()) - place_);
      absl::StrAppend(&value, piece);
      CountLines(piece);
      if (!has_end) {
        place_ = text_.size();
        record.fault = "a quoted field has no end; close it with \"";
        break;
      }
      place_ = quote + 1;
      if (place_ == text_.size() || text_[place_] != '"') break;
      value += '"';
      ++place_;
    }
    SkipSpaces();
    const absl::string_view rest = TakeUnquoted();
    if (!rest.empty()) {
      record.fault = absl::StrCat("'", rest,
                                  "' follows the end of a quoted field; write quotes in "
                                  "a quoted field twice");
    }
    return std::string(absl::StripAsciiWhitespace(value));
  }

  void CountLines(absl::string_view piece) {
    for (size_t i = 0; i < piece.size(); ++i) {
      const bool is_crlf = piece[i] == '\r' && i + 1 < piece.size() && piece[i + 1] == '\n';
      if (piece[i] == '\n' || (piece[i] == '\r' && !is_crlf)) ++line_;
    }
  }

  const absl::string_view text_;
  const char separator_;
  size_t place_ = 0;
  int64_t line_ = 1;
};

// Places of the columns in a record.
class Columns {
 public:
  static absl::StatusOr<Columns> Create(const Record& header, const std::string& name,
                                        const TableOptions& options) {
    Columns columns;
    columns.corners_ = options.corners();
    columns.count_ = header.fields.size();
    const auto find = [&](absl::string_view column,
                          absl::string_view field) -> absl::StatusOr<size_t> {
      const auto found = std::find(header.fields.begin(), header.fields.end(), column);
      const std::string where = absl::StrCat(name, ":", header.line, ": ");
      if (found == header.fields.end()) {
        return Wrong(absl::StrCat(where, "no column '", column, "'; the columns are ",
                                  absl::StrJoin(header.fields, ", "), "; correct table.", field));
      }
      if (std::find(found + 1, header.fields.end(), column) != header.fields.end()) {
        return Wrong(absl::StrCat(where, "two columns are called '", column, "'; rename one"));
      }
      return static_cast<size_t>(found - header.fields.begin());
    };
    SSD_ASSIGN_OR_RETURN(columns.image_, find(options.image_column(), "image_column"));
    SSD_ASSIGN_OR_RETURN(columns.label_, find(options.label_column(), "label_column"));
    columns.box_names_ = BoxColumns(options);
    for (size_t i = 0; i < columns.box_.size(); ++i) {
      SSD_ASSIGN_OR_RETURN(columns.box_[i], find(columns.box_names_[i], "box_column"));
    }
    const auto find_optional = [&](const char* column, std::optional<size_t>& place) {
      if (!Contains(header.fields, column) || Contains(columns.box_names_, column)) {
        return absl::OkStatus();
      }
      SSD_ASSIGN_OR_RETURN(place, find(column, "file"));
      return absl::OkStatus();
    };
    SSD_RETURN_IF_ERROR(find_optional(kWidth, columns.width_));
    SSD_RETURN_IF_ERROR(find_optional(kHeight, columns.height_));
    SSD_RETURN_IF_ERROR(find_optional(kDifficult, columns.difficult_));
    SSD_RETURN_IF_ERROR(find_optional(kCrowd, columns.crowd_));
    return columns;
  }

  // Sets `row`, which is empty, to that of `record`; after an error it has as much as was read.
  // \error InvalidArgument without file and line.
  absl::Status Read(Record& record, TableRow& row) const {
    row.line = record.line;
    if (image_ < record.fields.size()) row.image = std::move(record.fields[image_]);
    if (!record.fault.empty()) return Wrong(record.fault);
    if (record.fields.size() != count_) {
      return Wrong(absl::StrCat("has ", record.fields.size(), " fields where the header has ",
                                count_, "; quote a field that holds the separator"));
    }
    if (row.image.empty()) return Wrong("names no image");
    SSD_ASSIGN_OR_RETURN(row.size.width, Side(record, width_, kWidth));
    SSD_ASSIGN_OR_RETURN(row.size.height, Side(record, height_, kHeight));

    TableObject object;
    object.class_name = std::move(record.fields[label_]);
    const bool has_box = std::any_of(box_.begin(), box_.end(),
                                     [&](size_t column) { return !record.fields[column].empty(); });
    if (!has_box && object.class_name.empty()) return absl::OkStatus();
    if (object.class_name.empty()) return Wrong("has a box but no label; give it one");
    std::array<double, 4> numbers = {};
    for (size_t i = 0; i < box_.size(); ++i) {
      SSD_ASSIGN_OR_RETURN(numbers[i], Number(record.fields[box_[i]], box_names_[i]));
    }
    object.box = ToBox(numbers, corners_);
    SSD_ASSIGN_OR_RETURN(object.difficult, Flag(record, difficult_, kDifficult));
    SSD_ASSIGN_OR_RETURN(object.crowd, Flag(record, crowd_, kCrowd));
    row.objects.push_back(std::move(object));
    return absl::OkStatus();
  }

 private:
  Columns() = default;

  static absl::StatusOr<double> Number(const std::string& text, absl::string_view name) {
    double number = 0;
    if (absl::SimpleAtod(text, &number)) return number;
    return Wrong(absl::StrCat(name, " is '", text, "'; want a number"));
  }

  static absl::StatusOr<int64_t> Side(const Record& record, std::optional<size_t> column,
                                      absl::string_view name) {
    if (!column || record.fields[*column].empty()) return int64_t{0};
    SSD_ASSIGN_OR_RETURN(const double number, Number(record.fields[*column], name));
    return ToSide(number, name);
  }

  static absl::StatusOr<bool> Flag(const Record& record, std::optional<size_t> column,
                                   absl::string_view name) {
    if (!column || record.fields[*column].empty()) return false;
    bool flag = false;
    if (absl::SimpleAtob(record.fields[*column], &flag)) return flag;
    SSD_ASSIGN_OR_RETURN(const double number, Number(record.fields[*column], name));
    return ToFlag(number, name);
  }

  TableOptions::Corners corners_ = TableOptions::X0_Y0_X1_Y1;
  size_t count_ = 0;
  size_t image_ = 0;
  size_t label_ = 0;
  std::array<size_t, 4> box_ = {};
  std::vector<std::string> box_names_;
  std::optional<size_t> width_, height_, difficult_, crowd_;
};

absl::StatusOr<TableRows> ParseRecords(absl::string_view text, const std::string& name,
                                       char separator, const TableOptions& options,
                                       const TableFault& fault) {
  RecordReader reader(text, separator);
  Record record;
  if (!reader.Next(record)) {
    return Wrong(absl::StrCat(name, ": is empty; want a first line that names the columns"));
  }
  if (!record.fault.empty()) return Wrong(absl::StrCat(name, ":", record.line, ": ", record.fault));
  SSD_ASSIGN_OR_RETURN(const Columns columns, Columns::Create(record, name, options));
  TableRows table;
  while (reader.Next(record)) {
    TableRow row;
    const absl::Status read = columns.Read(record, row);
    if (read.ok()) {
      table.rows.push_back(std::move(row));
    } else {
      SSD_RETURN_IF_ERROR(LeaveOut(std::move(row), read, fault, table));
    }
  }
  return table;
}

// --- JSON lines ---

// The value of a key; null where there is none, or null.
const rapidjson::Value* Find(const rapidjson::Value& object, const std::string& key) {
  const rapidjson::Value name(rapidjson::StringRef(key.data(), key.size()));
  const auto found = object.FindMember(name);
  return found == object.MemberEnd() || found->value.IsNull() ? nullptr : &found->value;
}

class JsonRows {
 public:
  JsonRows(const TableOptions& options, const TableFault& fault)
      : options_(options), fault_(fault), box_keys_(BoxColumns(options)) {}

  // Adds the row of a line that is an object, unless `fault` hears of the whole row.
  absl::Status Read(const rapidjson::Value& line, int64_t number, TableRows& table) const {
    TableRow row;
    row.line = number;
    const absl::Status head = ReadHead(line, row);
    if (!head.ok()) return LeaveOut(std::move(row), head, fault_, table);
    if (const rapidjson::Value* const objects = Find(line, kObjects)) {
      for (rapidjson::SizeType i = 0; i < objects->Size(); ++i) {
        absl::StatusOr<TableObject> object = ReadObject((*objects)[i]);
        if (object.ok()) {
          row.objects.push_back(*std::move(object));
        } else {
          SSD_RETURN_IF_ERROR(
              fault_(number, absl::StrCat("objects[", i, "] ", object.status().message())));
        }
      }
    } else if (HasObject(line)) {
      absl::StatusOr<TableObject> object = ReadObject(line);
      if (!object.ok()) return LeaveOut(std::move(row), object.status(), fault_, table);
      row.objects.push_back(*std::move(object));
    }
    table.rows.push_back(std::move(row));
    return absl::OkStatus();
  }

 private:
  absl::Status ReadHead(const rapidjson::Value& line, TableRow& row) const {
    const rapidjson::Value* const image = Find(line, options_.image_column());
    if (image == nullptr || !image->IsString() || image->GetStringLength() == 0) {
      return Wrong(absl::StrCat("has no string '", options_.image_column(),
                                "', the image's file name; correct table.image_column"));
    }
    row.image.assign(image->GetString(), image->GetStringLength());
    const rapidjson::Value* const objects = Find(line, kObjects);
    if (objects != nullptr && !objects->IsArray()) return Wrong("'objects' is not a list");
    // In a line of one box, width and height may be the box's.
    const auto side = [&](const char* key, int64_t& value) {
      const rapidjson::Value* const found = Find(line, key);
      if (found == nullptr || (objects == nullptr && Contains(box_keys_, key))) {
        return absl::OkStatus();
      }
      if (!found->IsNumber()) return Wrong(absl::StrCat("'", key, "' is not a number"));
      SSD_ASSIGN_OR_RETURN(value, ToSide(found->GetDouble(), key));
      return absl::OkStatus();
    };
    SSD_RETURN_IF_ERROR(side(kWidth, row.size.width));
    return side(kHeight, row.size.height);
  }

  bool HasObject(const rapidjson::Value& line) const {
    return Find(line, options_.label_column()) != nullptr || Find(line, kBox) != nullptr ||
           std::any_of(box_keys_.begin(), box_keys_.end(),
                       [&](const std::string& key) { return Find(line, key) != nullptr; });
  }

  absl::StatusOr<TableObject> ReadObject(const rapidjson::Value& value) const {
    if (!value.IsObject()) return Wrong("is not an object of label and box");
    TableObject object;
    const rapidjson::Value* const label = Find(value, options_.label_column());
    if (label != nullptr && label->IsString()) {
      object.class_name.assign(label->GetString(), label->GetStringLength());
    } else if (label != nullptr && label->IsInt64()) {
      object.class_name = absl::StrCat(label->GetInt64());
    }
    if (object.class_name.empty()) {
      return Wrong(absl::StrCat("has no string '", options_.label_column(),
                                "', the class; correct table.label_column"));
    }
    std::array<double, 4> numbers = {};
    if (const rapidjson::Value* const box = Find(value, kBox)) {
      if (!box->IsArray() || box->Size() != numbers.size()) {
        return Wrong("has a 'box' that is not a list of four numbers");
      }
      for (size_t i = 0; i < numbers.size(); ++i) {
        const rapidjson::Value& number = (*box)[static_cast<rapidjson::SizeType>(i)];
        if (!number.IsNumber()) return Wrong("has a 'box' that is not a list of four numbers");
        numbers[i] = number.GetDouble();
      }
    } else {
      for (size_t i = 0; i < numbers.size(); ++i) {
        const rapidjson::Value* const number = Find(value, box_keys_[i]);
        if (number == nullptr || !number->IsNumber()) {
          return Wrong(absl::StrCat("has no number '", box_keys_[i],
                                    "' and no list 'box'; correct table.box_column"));
        }
        numbers[i] = number->GetDouble();
      }
    }
    object.box = ToBox(numbers, options_.corners());
    SSD_ASSIGN_OR_RETURN(object.difficult, ReadFlag(value, kDifficult));
    SSD_ASSIGN_OR_RETURN(object.crowd, ReadFlag(value, kCrowd));
    return object;
  }

  static absl::StatusOr<bool> ReadFlag(const rapidjson::Value& object, const char* key) {
    const rapidjson::Value* const flag = Find(object, key);
    if (flag == nullptr) return false;
    if (flag->IsBool()) return flag->GetBool();
    if (flag->IsNumber()) return ToFlag(flag->GetDouble(), key);
    return Wrong(absl::StrCat("has a '", key, "' that is neither true nor false"));
  }

  const TableOptions& options_;
  const TableFault& fault_;
  const std::vector<std::string> box_keys_;
};

absl::StatusOr<TableRows> ParseJsonLines(absl::string_view text, const TableOptions& options,
                                         const TableFault& fault) {
  // Iterative: a line of brackets must not exhaust the stack. NaN is no JSON, but Python writes it.
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseNanAndInfFlag |
                              rapidjson::kParseValidateEncodingFlag;
  const JsonRows reader(options, fault);
  TableRows table;
  int64_t number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const absl::string_view line = absl::StripAsciiWhitespace(text.substr(start, end - start));
    start = end + 1;
    ++number;
    if (line.empty()) continue;
    rapidjson::Document document;
    document.Parse<kFlags>(line.data(), line.size());
    if (document.HasParseError()) {
      SSD_RETURN_IF_ERROR(
          fault(number, absl::StrCat("malformed JSON at byte ", document.GetErrorOffset() + 1, ": ",
                                     rapidjson::GetParseError_En(document.GetParseError()),
                                     " Want one object a line")));
      continue;
    }
    if (!document.IsObject()) {
      SSD_RETURN_IF_ERROR(fault(number, "is no JSON object; want one a line"));
      continue;
    }
    SSD_RETURN_IF_ERROR(reader.Read(document, number, table));
  }
  return table;
}

}  // namespace

absl::StatusOr<TableRows> ParseTable(absl::string_view text, const std::string& name,
                                     const TableOptions& options, const TableFault& fault) {
  constexpr int kBoxNumbers = 4;
  if (options.box_column_size() != 0 && options.box_column_size() != kBoxNumbers) {
    return Wrong(absl::StrCat("table.box_column has ", options.box_column_size(),
                              " names; want four, in the order of table.corners, or none"));
  }
  for (const char* utf16 : {"\xff\xfe", "\xfe\xff"}) {
    if (absl::StartsWith(text, utf16)) {
      return Wrong(absl::StrCat(name, ": is UTF-16 text; save it as UTF-8"));
    }
  }
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  SSD_ASSIGN_OR_RETURN(const TableOptions::Format format, FormatOf(options, name));
  switch (format) {
    case TableOptions::TSV:
      return ParseRecords(text, name, '\t', options, fault);
    case TableOptions::JSON_LINES:
      return ParseJsonLines(text, options, fault);
    case TableOptions::CSV:
    case TableOptions::FROM_NAME:
      break;
  }
  return ParseRecords(text, name, ',', options, fault);
}

}  // namespace ssd
