#include "ssd/eval/detections_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/logging.h"

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

}  // namespace ssd
