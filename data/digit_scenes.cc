#include "data/digit_scenes.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "data/class_renaming.h"
#include "data/digest.h"
#include "data/label_index.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Streams of the scene's seed; no epochs' numbers, from which transforms draw.
constexpr uint64_t kPlacesStream = 0x706c61636573;
constexpr uint64_t kPaintStream = 0x7061696e74;

// Of digits that the class map drops: they are painted, but no objects.
constexpr int64_t kNoLabel = 0;

// Of the field; empty if nothing is above the threshold.
cv::Rect TightBox(const cv::Mat& ink) {
  int x0 = ink.cols, y0 = ink.rows, x1 = 0, y1 = 0;
  for (int y = 0; y < ink.rows; ++y) {
    const uint8_t* const row = ink.ptr<uint8_t>(y);
    for (int x = 0; x < ink.cols; ++x) {
      if (row[x] <= kInkThreshold) continue;
      x0 = std::min(x0, x);
      x1 = std::max(x1, x + 1);
      y0 = std::min(y0, y);
      y1 = y + 1;
    }
  }
  return x1 > x0 ? cv::Rect(x0, y0, x1 - x0, y1 - y0) : cv::Rect();
}

// True if the boxes share at most a tenth of the smaller one.
bool OverlapLittle(const cv::Rect& a, const cv::Rect& b) {
  return 10 * (a & b).area() <= std::min(a.area(), b.area());
}

// A scene's pixels, made when asked for.
class ScenePixels : public ImageSource {
 public:
  ScenePixels(std::shared_ptr<const DigitStyle> style, const DigitSceneOptions& options,
              int64_t index, std::vector<PlacedDigit> digits)
      : style_(std::move(style)), options_(options), index_(index), digits_(std::move(digits)) {}

  ImageSize size() const override { return {options_.canvas_size, options_.canvas_size}; }

  absl::StatusOr<cv::Mat> Decode() const override {
    Random random(options_.scene_seed, kPaintStream, static_cast<uint64_t>(index_));
    return style_->Paint(random, static_cast<int>(options_.canvas_size), digits_);
  }

 private:
  const std::shared_ptr<const DigitStyle> style_;
  const DigitSceneOptions options_;
  const int64_t index_;
  const std::vector<PlacedDigit> digits_;
};

}  // namespace

absl::Status DigitSceneOptions::Validate(absl::string_view component) const {
  const auto error = [component](absl::string_view field, auto value, absl::string_view wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat(component, ".", field, " is ", value, "; want ", wanted));
  };
  constexpr int kSmallestCanvas = 16, kLargestCanvas = 4096, kSmallestDigit = 8;
  if (canvas_size < kSmallestCanvas || canvas_size > kLargestCanvas) {
    return error("canvas_size", canvas_size,
                 absl::StrCat(kSmallestCanvas, " to ", kLargestCanvas, " pixels"));
  }
  if (scenes < 1) return error("scenes", scenes, "at least 1");
  if (min_digits < 0) return error("min_digits", min_digits, "0 or more");
  if (max_digits < std::max<int64_t>(1, min_digits)) {
    return error("max_digits", max_digits, "at least 1 and at least min_digits");
  }
  if (!(min_size >= kSmallestDigit)) {  // NaN too
    return error("min_size", min_size, absl::StrCat("at least ", kSmallestDigit, " pixels"));
  }
  if (!(max_size >= min_size && max_size <= static_cast<double>(canvas_size))) {
    return error("max_size", max_size,
                 absl::StrCat("min_size to canvas_size (", min_size, " to ", canvas_size, ")"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Dataset>> DigitScenes::Create(
    const DigitSceneOptions& options, absl::string_view component,
    std::shared_ptr<const DigitStyle> style, const DatasetContext& context) {
  SSD_RETURN_IF_ERROR(options.Validate(component));
  SSD_ASSIGN_OR_RETURN(const ClassRenaming renaming, ClassRenaming::Create(context.class_map));
  std::vector<std::optional<std::string>> class_of_digit;
  for (int digit = 0; digit < 10; ++digit) {
    class_of_digit.push_back(renaming.Apply(absl::StrCat(digit)));
  }
  LabelMap labels;
  labels.names = context.labels;
  if (labels.names.empty()) {
    for (const std::optional<std::string>& name : class_of_digit) {
      if (!name) continue;
      const auto known = std::find(labels.names.begin(), labels.names.end(), *name);
      if (known == labels.names.end()) labels.names.push_back(*name);
    }
  }
  for (int64_t label = 1; label <= labels.num_classes(); ++label) {
    labels.source_ids.push_back(label);
  }
  SSD_ASSIGN_OR_RETURN(const LabelIndex index, LabelIndex::Create(labels.names));
  std::vector<int64_t> label_of_digit(class_of_digit.size(), kNoLabel);
  for (size_t digit = 0; digit < class_of_digit.size(); ++digit) {
    if (!class_of_digit[digit]) continue;
    SSD_ASSIGN_OR_RETURN(label_of_digit[digit], index.Find(*class_of_digit[digit], component));
  }
  return std::unique_ptr<Dataset>(
      new DigitScenes(options, std::move(style), std::move(labels), std::move(label_of_digit)));
}

DigitScenes::DigitScenes(const DigitSceneOptions& options, std::shared_ptr<const DigitStyle> style,
                         LabelMap labels, std::vector<int64_t> label_of_digit)
    : options_(options),
      style_(std::move(style)),
      labels_(std::move(labels)),
      label_of_digit_(std::move(label_of_digit)) {}

std::vector<PlacedDigit> DigitScenes::PlaceDigits(int64_t index) const {
  CHECK(index >= 0 && index < size()) << "scene " << index << " of " << size();
  constexpr int kAttempts = 50;
  Random random(options_.scene_seed, kPlacesStream, static_cast<uint64_t>(index));
  std::vector<PlacedDigit> placed;
  const int64_t wanted = random.Integer(options_.min_digits, options_.max_digits);
  for (int64_t i = 0; i < wanted; ++i) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      const int side =
          static_cast<int>(std::lround(random.Uniform(options_.min_size, options_.max_size)));
      const int64_t last = options_.canvas_size - side;
      PlacedDigit digit;
      digit.drawn = style_->Draw(random, side);
      digit.origin.x = static_cast<int>(random.Integer(0, last));
      digit.origin.y = static_cast<int>(random.Integer(0, last));
      const cv::Rect tight = TightBox(digit.drawn.ink);
      if (tight.empty()) continue;
      digit.box = tight + digit.origin;
      const bool is_free = std::all_of(
          placed.begin(), placed.end(),
          [&](const PlacedDigit& earlier) { return OverlapLittle(earlier.box, digit.box); });
      if (!is_free) continue;
      placed.push_back(std::move(digit));
      break;
    }
  }
  return placed;
}

Annotations DigitScenes::TruthOf(int64_t index, const std::vector<PlacedDigit>& digits) const {
  Annotations truth;
  truth.image_id = index + 1;
  truth.file_name = absl::StrCat("scene ", index);
  truth.size = {options_.canvas_size, options_.canvas_size};
  for (const PlacedDigit& digit : digits) {
    if (label_of_digit_[digit.drawn.digit] == kNoLabel) continue;
    Annotation object;
    object.box = {static_cast<double>(digit.box.x), static_cast<double>(digit.box.y),
                  static_cast<double>(digit.box.br().x), static_cast<double>(digit.box.br().y)};
    object.label = label_of_digit_[digit.drawn.digit];
    object.area = object.box.area();
    // Unique over the scenes, without drawing those before this one.
    object.id = index * options_.max_digits + static_cast<int64_t>(truth.objects.size()) + 1;
    truth.objects.push_back(object);
  }
  return truth;
}

absl::StatusOr<Annotations> DigitScenes::GetAnnotations(int64_t index) const {
  return TruthOf(index, PlaceDigits(index));
}

absl::StatusOr<Sample> DigitScenes::Get(int64_t index) const {
  std::vector<PlacedDigit> digits = PlaceDigits(index);
  Annotations truth = TruthOf(index, digits);
  const Geometry geometry = Geometry::Identity(truth.size);
  LazyImage image(std::make_shared<ScenePixels>(style_, options_, index, std::move(digits)));
  return Sample{std::move(image), geometry, std::move(truth)};
}

std::string DigitScenes::Fingerprint() const {
  Digest digest;
  digest.AddBytes(style_->Fingerprint()).AddLabels(labels_);
  digest.AddInteger(options_.min_digits).AddInteger(options_.max_digits);
  digest.AddInteger(options_.canvas_size).AddInteger(options_.scenes);
  digest.AddInteger(static_cast<int64_t>(options_.scene_seed));
  digest.AddNumber(options_.min_size).AddNumber(options_.max_size);
  for (size_t digit = 0; digit < label_of_digit_.size(); ++digit) {
    const int64_t label = label_of_digit_[digit];
    if (label != kNoLabel && labels_.names[label - 1] == absl::StrCat(digit)) continue;
    digest.AddInteger(static_cast<int64_t>(digit)).AddInteger(label);
  }
  return digest.Hex();
}

}  // namespace ssd
