#include "data/coco_json.h"

#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "data/chunked_json.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

// Takes the events of RapidJSON's reader and keeps what CocoInstances has. Returns false, with an
// error or the status of `fault`, where reading must end.
class InstancesHandler : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, InstancesHandler> {
 public:
  InstancesHandler(ChunkedJson& stream, const CocoFault& fault, CocoInstances& instances)
      : stream_(stream), fault_(fault), instances_(instances) {}

  // What was wrong with the file as a whole; empty for malformed JSON, which the reader finds.
  const std::string& error() const { return error_; }
  // The last answer to a fault.
  const absl::Status& status() const { return status_; }

  bool Null() { return Scalar({Value::kNull, ""}); }
  bool Bool(bool value) { return Scalar({Value::kBool, value ? "1" : "0"}); }
  // Numbers come as text, and only those that are kept are converted.
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    return Scalar({Value::kNumber, absl::string_view(text, length)});
  }
  bool String(const char* text, rapidjson::SizeType length, bool) {
    return Scalar({Value::kString, absl::string_view(text, length)});
  }
  bool Key(const char* text, rapidjson::SizeType length, bool) {
    const absl::string_view key(text, length);
    if (depth_ == 1) {
      section_ = key == "images"        ? kImages
                 : key == "annotations" ? kAnnotations
                 : key == "categories"  ? kCategories
                                        : kElsewhere;
      place_ = -1;
      return section_ != kElsewhere || SkipValue();
    }
    if (depth_ == 3) {
      field_ = FieldOf(key);
      return field_ != kOther || SkipValue();
    }
    return true;
  }
  bool StartObject() { return Start(/*is_object=*/true); }
  bool StartArray() { return Start(/*is_object=*/false); }
  bool EndObject(rapidjson::SizeType) { return End(); }
  bool EndArray(rapidjson::SizeType) { return End(); }

 private:
  enum Section { kElsewhere, kImages, kAnnotations, kCategories };
  enum Field {
    kOther,
    kId,
    kFileName,
    kWidth,
    kHeight,
    kImageId,
    kCategoryId,
    kBbox,
    kArea,
    kIsCrowd,
    kName,
  };

  struct Value {
    enum Kind { kNull, kBool, kNumber, kString } kind;
    absl::string_view text;
  };

  // The item of a list that is being read.
  struct Item {
    int64_t line = 0;
    bool is_bad = false;  // `fault_` has heard of it
    std::optional<int64_t> id, image_id, category_id, width, height;
    std::optional<std::string> name;  // or file_name
    std::array<double, 4> bbox = {};
    size_t bbox_numbers = 0;
    bool has_bbox = false;
    double area = 0;
    bool crowd = false;
  };

  Field FieldOf(absl::string_view key) const {
    if (key == "id") return kId;
    switch (section_) {
      case kImages:
        return key == "file_name" ? kFileName
               : key == "width"   ? kWidth
               : key == "height"  ? kHeight
                                  : kOther;
      case kAnnotations:
        return key == "image_id"      ? kImageId
               : key == "category_id" ? kCategoryId
               : key == "bbox"        ? kBbox
               : key == "area"        ? kArea
               : key == "iscrowd"     ? kIsCrowd
                                      : kOther;
      case kCategories:
        return key == "name" ? kName : kOther;
      case kElsewhere:
        break;
    }
    return kOther;
  }

  static const char* NameOf(Field field) {
    constexpr std::array<const char*, 11> kNames = {"",       "id",       "file_name",   "width",
                                                    "height", "image_id", "category_id", "bbox",
                                                    "area",   "iscrowd",  "name"};
    return kNames[field];
  }

  static const char* Wanted(Field field) {
    switch (field) {
      case kBbox:
        return "a list of four numbers [x, y, width, height]";
      case kFileName:
      case kName:
        return "a string";
      case kArea:
        return "a number";
      case kIsCrowd:
        return "0 or 1";
      default:
        return "an integer";
    }
  }

  const char* SectionName() const {
    return section_ == kImages ? "images" : section_ == kAnnotations ? "annotations" : "categories";
  }
  std::string ItemName() const {
    return absl::StrCat(SectionName(), "[", place_, "]",
                        item_.id ? absl::StrCat(" (id ", *item_.id, ")") : "");
  }

  bool Fail(std::string message) {
    error_ = std::move(message);
    return false;
  }

  // The first fault of an item is enough.
  bool BadItem(int64_t line, absl::string_view message) {
    if (item_.is_bad) return true;
    item_.is_bad = true;
    status_ = fault_(line, absl::StrCat(ItemName(), message));
    return status_.ok();
  }
  bool BadField() {
    return BadItem(stream_.Line(), absl::StrCat(".", NameOf(field_), " is not ", Wanted(field_)));
  }
  bool Missing(Field field) {
    return BadItem(item_.line, absl::StrCat(" has no ", NameOf(field), ", ", Wanted(field)));
  }

  bool SkipValue() {
    if (stream_.SkipValue()) return true;
    return Fail(absl::StrCat("malformed JSON: a value without end, or nested more than ",
                             ChunkedJson::kDeepest, " deep. Is the file complete (byte ",
                             stream_.Tell(), ")?"));
  }

  void BeginItem() {
    ++place_;
    item_ = Item();
    item_.line = stream_.Line();
    field_ = kOther;
  }

  // Values of no interest are skipped before they get here, so that whatever comes at depth 1 or 2
  // is in one of the three lists; deeper, it may belong to an item that is no object.
  bool Start(bool is_object) {
    if (depth_ == 0 && !is_object) {
      return Fail(
          "the file is a list, as files of detections are; want an object with images, annotations "
          "and categories");
    }
    if (depth_ == 1 && is_object) return Fail(absl::StrCat(SectionName(), " is not a list"));
    if (depth_ == 2) {
      BeginItem();
      if (!is_object && !BadItem(item_.line, " is not an object")) return false;
    }
    if (depth_ == 3 && field_ != kOther) {
      if (field_ == kBbox && !is_object) {
        in_bbox_ = item_.has_bbox = true;
        item_.bbox_numbers = 0;
      } else if (!BadField()) {
        return false;
      }
    }
    if (depth_ == 4 && in_bbox_ && !BadField()) return false;
    if (++depth_ > ChunkedJson::kDeepest) {
      return Fail(
          absl::StrCat("malformed JSON: nested more than ", ChunkedJson::kDeepest, " deep"));
    }
    return true;
  }

  bool End() {
    --depth_;
    if (depth_ == 3) in_bbox_ = false;
    return depth_ != 2 || EndItem();
  }

  bool Scalar(const Value& value) {
    switch (depth_) {
      case 0:
        return Fail("the file is no object; want images, annotations and categories");
      case 1:
        return section_ == kElsewhere || Fail(absl::StrCat(SectionName(), " is not a list"));
      case 2:
        BeginItem();
        return BadItem(item_.line, " is not an object");
      case 3:
        return SetField(value);
      case 4:
        return !in_bbox_ || AddToBox(value);
      default:
        return true;
    }
  }

  bool AddToBox(const Value& value) {
    if (value.kind != Value::kNumber) return BadField();
    if (item_.bbox_numbers < item_.bbox.size()) {
      item_.bbox[item_.bbox_numbers] = Number(value.text);
    }
    ++item_.bbox_numbers;
    return true;
  }

  static double Number(absl::string_view text) {
    double number = 0;
    return absl::SimpleAtod(text, &number) ? number : std::numeric_limits<double>::quiet_NaN();
  }

  static std::optional<int64_t> Integer(absl::string_view text) {
    int64_t integer = 0;
    if (absl::SimpleAtoi(text, &integer)) return integer;
    // Some exporters write 12.0 where an integer is meant.
    constexpr double kExact = 9007199254740992.0;  // 2^53
    const double number = Number(text);
    if (number != std::floor(number) || std::abs(number) > kExact) return std::nullopt;
    return static_cast<int64_t>(number);
  }

  bool SetInteger(const Value& value, std::optional<int64_t>& target) {
    if (value.kind == Value::kNumber) {
      const std::optional<int64_t> integer = Integer(value.text);
      if (!integer) return BadField();
      target = integer;
      return true;
    }
    // Sides that are not known are often written as null.
    const bool may_be_null = field_ == kWidth || field_ == kHeight;
    return (may_be_null && value.kind == Value::kNull) || BadField();
  }

  bool SetField(const Value& value) {
    switch (field_) {
      case kOther:
        return true;
      case kId:
        return SetInteger(value, item_.id);
      case kImageId:
        return SetInteger(value, item_.image_id);
      case kCategoryId:
        return SetInteger(value, item_.category_id);
      case kWidth:
        return SetInteger(value, item_.width);
      case kHeight:
        return SetInteger(value, item_.height);
      case kFileName:
      case kName:
        if (value.kind != Value::kString) return BadField();
        item_.name.emplace(value.text.data(), value.text.size());
        return true;
      case kArea:
        if (value.kind == Value::kNull) return true;
        if (value.kind != Value::kNumber) return BadField();
        item_.area = Number(value.text);
        if (!std::isfinite(item_.area)) item_.area = 0;
        return true;
      case kIsCrowd: {
        const bool is_flag = value.kind == Value::kBool || value.kind == Value::kNumber;
        const std::optional<int64_t> flag = is_flag ? Integer(value.text) : std::nullopt;
        if (!flag || (*flag != 0 && *flag != 1)) return BadField();
        item_.crowd = *flag == 1;
        return true;
      }
      case kBbox:
        return BadField();
    }
    return true;
  }

  bool EndItem() {
    const bool goes_on = KeepItem();
    if (section_ == kImages && item_.is_bad && item_.name) {
      instances_.left_out.push_back(std::move(*item_.name));
    }
    return goes_on;
  }

  bool KeepItem() {
    if (item_.is_bad) return true;
    if (!item_.id) return Missing(kId);
    switch (section_) {
      case kImages: {
        if (!item_.name) return Missing(kFileName);
        const ImageSize size{item_.height.value_or(0), item_.width.value_or(0)};
        if (size.width < 0 || size.height < 0) {
          return BadItem(item_.line, absl::StrCat(": ", size.width, "x", size.height,
                                                  " pixels; want the image's width and height"));
        }
        instances_.images.push_back({*item_.id, std::move(*item_.name), size, item_.line});
        return true;
      }
      case kAnnotations: {
        if (!item_.image_id) return Missing(kImageId);
        if (!item_.category_id) return Missing(kCategoryId);
        if (!item_.has_bbox) return Missing(kBbox);
        const std::array<double, 4>& bbox = item_.bbox;
        field_ = kBbox;
        if (item_.bbox_numbers != bbox.size()) return BadField();
        const PixelBox box{bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]};
        instances_.annotations.push_back({*item_.id, *item_.image_id, *item_.category_id, box,
                                          item_.area, item_.line, item_.crowd});
        return true;
      }
      case kCategories:
        if (!item_.name) return Missing(kName);
        instances_.categories.push_back({*item_.id, std::move(*item_.name), item_.line});
        return true;
      case kElsewhere:
        break;
    }
    return true;
  }

  ChunkedJson& stream_;
  const CocoFault& fault_;
  CocoInstances& instances_;
  std::string error_;
  absl::Status status_;
  int depth_ = 0;                 // 1 in the file's object, 2 in a list, 3 in an item, 4 in a field
  Section section_ = kElsewhere;  // the list at depth 1
  int64_t place_ = -1;            // in the list
  Item item_;
  Field field_ = kOther;
  bool in_bbox_ = false;
};

absl::StatusOr<CocoInstances> Parse(ChunkedJson& stream, const std::string& name,
                                    const CocoFault& fault) {
  // RapidJSON's reader knows no byte order mark.
  for (const char byte : {'\xef', '\xbb', '\xbf'}) {
    if (stream.Peek() == byte) stream.Take();
  }
  CocoInstances instances;
  InstancesHandler handler(stream, fault, instances);
  rapidjson::Reader reader;
  // NaN and Infinity are no JSON, but Python writes them: such boxes are told apart later.
  constexpr unsigned kFlags = rapidjson::kParseNumbersAsStringsFlag |
                              rapidjson::kParseValidateEncodingFlag |
                              rapidjson::kParseNanAndInfFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, handler);
  if (result) return instances;
  if (!handler.status().ok()) return handler.status();
  const std::string where = absl::StrCat(name, ":", stream.Line(), ":", stream.Column(), ": ");
  if (!handler.error().empty()) return absl::InvalidArgumentError(where + handler.error());
  return absl::InvalidArgumentError(
      absl::StrCat(where, "malformed JSON: ", rapidjson::GetParseError_En(result.Code()),
                   " Is the file complete (byte ", stream.Tell(), ")?"));
}

}  // namespace

absl::StatusOr<CocoInstances> ReadCocoJson(const std::string& path, const CocoFault& fault) {
  std::FILE* const file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return FileError(errno, "cannot read", path);
  const absl::Cleanup close_file = [file] { std::fclose(file); };
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot read", path);
  }
  constexpr size_t kChunkBytes = size_t{1} << 18;
  ChunkedJson stream(
      [file](char* buffer, size_t size) { return std::fread(buffer, 1, size, file); }, kChunkBytes);
  absl::StatusOr<CocoInstances> instances = Parse(stream, path, fault);
  if (std::ferror(file) != 0) return FileError(EIO, "cannot read", path);
  return instances;
}

absl::StatusOr<CocoInstances> ParseCocoJson(absl::string_view json, const std::string& name,
                                            const CocoFault& fault, size_t chunk_bytes) {
  ChunkedJson stream(ChunkedJson::InMemory(json), chunk_bytes);
  return Parse(stream, name, fault);
}

}  // namespace ssd
