#include "ssd/eval/detections_json.h"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Independent of the locale, and several times faster than printf.
void AppendNumber(double value, std::chars_format format, int precision, std::string* out) {
  char buffer[400];  // the longest double, written out
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, format, precision);
  out->append(buffer, end.ptr);
}

void AppendPixels(double value, std::string* out) {
  // "+ 0.0" turns a negative zero into a positive one.
  AppendNumber(std::round(value * 1000) / 1000 + 0.0, std::chars_format::fixed, 3, out);
}

std::string Shown(const rapidjson::Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  std::string text = buffer.GetString();
  if (text.size() > 60) text = absl::StrCat(text.substr(0, 60), "...");
  return text;
}

// One entry of the array, and where it stands, for messages.
class Entry {
 public:
  Entry(const std::string& path, size_t index, const rapidjson::Value& value)
      : path_(path), index_(index), value_(value) {}

  absl::Status Error(absl::string_view problem) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": entry ", index_, ": ", problem));
  }

  absl::StatusOr<const rapidjson::Value*> Member(const char* name) const {
    if (!value_.IsObject()) return Error(absl::StrCat(Shown(value_), " is not an object"));
    const auto member = value_.FindMember(name);
    if (member == value_.MemberEnd()) return Error(absl::StrCat("has no \"", name, "\""));
    return &member->value;
  }

  absl::StatusOr<int64_t> Id(const char* name) const {
    SSD_ASSIGN_OR_RETURN(const rapidjson::Value* member, Member(name));
    if (member->IsInt64()) return member->GetInt64();
    // Programs that keep results in an array of floats write 42.0.
    if (member->IsDouble() && std::abs(member->GetDouble()) < 9e15 &&
        member->GetDouble() == std::floor(member->GetDouble())) {
      return static_cast<int64_t>(member->GetDouble());
    }
    return Error(absl::StrCat("\"", name, "\" is ", Shown(*member), ", not an integer"));
  }

  absl::StatusOr<double> Number(const char* name, const rapidjson::Value& value) const {
    if (!value.IsNumber() || !std::isfinite(value.GetDouble())) {
      return Error(absl::StrCat("\"", name, "\": ", Shown(value), " is not a number"));
    }
    return value.GetDouble();
  }

  absl::StatusOr<PixelBox> Box() const {
    SSD_ASSIGN_OR_RETURN(const rapidjson::Value* box, Member("bbox"));
    if (!box->IsArray() || box->Size() != 4) {
      return Error(absl::StrCat("\"bbox\" is ", Shown(*box), ", not [x, y, width, height]"));
    }
    double value[4];
    for (rapidjson::SizeType i = 0; i < 4; ++i) {
      SSD_ASSIGN_OR_RETURN(value[i], Number("bbox", (*box)[i]));
    }
    if (value[2] < 0 || value[3] < 0) {
      return Error(absl::StrCat("\"bbox\" is ", Shown(*box),
                                ": its last two numbers are width and height, not a corner"));
    }
    return PixelBox{value[0], value[1], value[0] + value[2], value[1] + value[3]};
  }

 private:
  const std::string& path_;
  size_t index_;
  const rapidjson::Value& value_;
};

}  // namespace

std::string DetectionsJson(std::vector<ImageDetections> images, const LabelMap& labels) {
  std::stable_sort(images.begin(), images.end(),
                   [](const auto& a, const auto& b) { return a.image_id < b.image_id; });
  std::string json = "[";
  for (const ImageDetections& image : images) {
    for (const PixelDetection& detection : image.detections) {
      CHECK(detection.label >= 1 && detection.label <= labels.num_classes()) << detection.label;
      absl::StrAppend(&json, json.size() == 1 ? "\n" : ",\n", "{\"image_id\":", image.image_id,
                      ",\"category_id\":", labels.source_ids[detection.label - 1], ",\"bbox\":[");
      const PixelBox& box = detection.box;
      AppendPixels(box.x0, &json);
      for (const double value : {box.y0, box.width(), box.height()}) {
        json += ',';
        AppendPixels(value, &json);
      }
      json += "],\"score\":";
      AppendNumber(detection.score, std::chars_format::general, 9, &json);
      json += '}';
    }
  }
  json += json.size() == 1 ? "]\n" : "\n]\n";
  return json;
}

absl::Status WriteDetectionsJson(const std::string& path, std::vector<ImageDetections> images,
                                 const LabelMap& labels) {
  return WriteFileAtomically(path, DetectionsJson(std::move(images), labels));
}

absl::StatusOr<std::vector<ImageDetections>> ReadDetectionsJson(
    const std::string& path, const LabelMap& labels, const std::vector<Annotations>& truths) {
  SSD_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  rapidjson::Document document;
  document.ParseInsitu<rapidjson::kParseFullPrecisionFlag>(text.data());
  if (document.HasParseError()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": no JSON: ", rapidjson::GetParseError_En(document.GetParseError()),
                     " (at byte ", document.GetErrorOffset(), ")"));
  }
  if (!document.IsArray()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not an array of {image_id, category_id, bbox, score}"));
  }

  std::vector<ImageDetections> images;
  absl::flat_hash_map<int64_t, size_t> image_of;
  for (const Annotations& annotations : truths) {
    image_of.emplace(annotations.image_id, images.size());
    images.push_back({annotations.image_id, {}});
  }
  absl::flat_hash_map<int64_t, int64_t> label_of;
  for (int64_t label = 1; label <= labels.num_classes(); ++label) {
    label_of.emplace(labels.source_ids[label - 1], label);
  }
  for (rapidjson::SizeType i = 0; i < document.Size(); ++i) {
    const Entry entry(path, i, document[i]);
    SSD_ASSIGN_OR_RETURN(const int64_t image_id, entry.Id("image_id"));
    SSD_ASSIGN_OR_RETURN(const int64_t category_id, entry.Id("category_id"));
    const auto image = image_of.find(image_id);
    if (image == image_of.end()) {
      return entry.Error(
          absl::StrCat("\"image_id\" is ", image_id, ", which the ground truth does not have"));
    }
    const auto label = label_of.find(category_id);
    if (label == label_of.end()) {
      return entry.Error(absl::StrCat("\"category_id\" is ", category_id,
                                      ", which the ground truth does not have"));
    }
    PixelDetection& detection = images[image->second].detections.emplace_back();
    detection.label = label->second;
    SSD_ASSIGN_OR_RETURN(detection.box, entry.Box());
    SSD_ASSIGN_OR_RETURN(const rapidjson::Value* score, entry.Member("score"));
    SSD_ASSIGN_OR_RETURN(detection.score, entry.Number("score", *score));
  }
  return images;
}

}  // namespace ssd
