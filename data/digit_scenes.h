#ifndef DATA_DIGIT_SCENES_H_
#define DATA_DIGIT_SCENES_H_

#include <cstdint>
#include <memory>
#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/dataset.h"
#include "ssd/core/random.h"

namespace ssd {

// What MnistOptions and DigitsOptions have in common.
struct DigitSceneOptions {
  int64_t min_digits = 0;
  int64_t max_digits = 0;
  int64_t canvas_size = 0;  // px
  int64_t scenes = 0;
  uint64_t scene_seed = 0;
  double min_size = 0;  // px
  double max_size = 0;

  template <typename Options>
  static DigitSceneOptions From(const Options& options) {
    return {options.min_digits(), options.max_digits(), options.canvas_size(), options.scenes(),
            options.scene_seed(), options.min_size(),   options.max_size()};
  }

  // \error InvalidArgument naming the field, e.g. "mnist.max_size"; `component` is "mnist".
  absl::Status Validate(absl::string_view component) const;
};

// A digit in a square field.
struct DigitInk {
  int digit = 0;  // 0..9
  cv::Mat ink;    // CV_8UC1: 0 none .. 255 full
};

// A digit at its place in a scene.
struct PlacedDigit {
  DigitInk drawn;
  cv::Point origin;  // of the field, in pixels of the canvas
  cv::Rect box;      // tight around the ink, in pixels of the canvas
};

// Where a scene's digits come from, and what its pixels look like. Thread-safe.
class DigitStyle {
 public:
  virtual ~DigitStyle() = default;

  // A digit of a class drawn uniformly, in a field of `side` pixels.
  virtual DigitInk Draw(Random& random, int side) const = 0;

  // The scene's pixels: CV_8UC3, RGB.
  virtual cv::Mat Paint(Random& random, int canvas_size,
                        const std::vector<PlacedDigit>& digits) const = 0;

  // A digest of the digits and of how they are drawn.
  virtual std::string Fingerprint() const = 0;
};

// Ink above this (of 255) counts for a digit's box.
inline constexpr int kInkThreshold = 64;

// Detection scenes: a canvas with some digits at random places and of random size, everything a
// function of (scene_seed, index). Scene i has image id i + 1; labels are the digits' names
// "0".."9", or what a class map makes of them.
//
// Each digit in turn gets a class, a size and a place for its field, all uniform, until it overlaps
// no digit before it by more than a tenth of the smaller one's box; after 50 vain attempts it is
// left out, so a crowded canvas may have fewer than min_digits. Boxes are tight around the ink.
// Truth and pixels draw from separate streams: the truth of a scene does not depend on its colours.
class DigitScenes : public Dataset {
 public:
  // \error InvalidArgument naming `component` and field, or if context.labels lacks a digit.
  static absl::StatusOr<std::unique_ptr<Dataset>> Create(const DigitSceneOptions& options,
                                                         absl::string_view component,
                                                         std::shared_ptr<const DigitStyle> style,
                                                         const DatasetContext& context);

  int64_t size() const override { return options_.scenes; }
  const LabelMap& labels() const override { return labels_; }
  // Draws the digits, but neither background nor colours.
  absl::StatusOr<Annotations> GetAnnotations(int64_t index) const override;
  absl::StatusOr<Sample> Get(int64_t index) const override;
  std::string Fingerprint() const override;

 private:
  DigitScenes(const DigitSceneOptions& options, std::shared_ptr<const DigitStyle> style,
              LabelMap labels, std::vector<int64_t> label_of_digit);

  std::vector<PlacedDigit> PlaceDigits(int64_t index) const;
  Annotations TruthOf(int64_t index, const std::vector<PlacedDigit>& digits) const;

  const DigitSceneOptions options_;
  const std::shared_ptr<const DigitStyle> style_;
  const LabelMap labels_;
  const std::vector<int64_t> label_of_digit_;  // 0: the digit is no object
};

}  // namespace ssd

#endif  // DATA_DIGIT_SCENES_H_
