#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "data/lazy_image.h"
#include "data/transforms/channel_permutation.h"
#include "data/transforms/color_steps.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// A view with its colours changed all at once. LazyImage does its colour operations on the pixels
// that are shown in the end; a contrast that leans towards the view's mean needs them all.
class JitteredView : public ImageSource {
 public:
  JitteredView(LazyImage view, std::vector<ColorStep> steps)
      : view_(std::move(view)), steps_(std::move(steps)) {}

  ImageSize size() const override { return view_.size(); }

  absl::StatusOr<cv::Mat> Decode() const override {
    SSD_ASSIGN_OR_RETURN(cv::Mat rgb, view_.Render());
    ApplyColorSteps(steps_, rgb);
    return rgb;
  }

 private:
  const LazyImage view_;
  const std::vector<ColorStep> steps_;
};

// torchvision's colour distortions: brightness, contrast, saturation and hue (color_steps.h), each
// with `probability` and by a factor (hue: turns) drawn uniformly; then, with a probability of its
// own, the channels in any order. In the order of ANY it is transforms.ColorJitter, which NVIDIA's
// SSD uses with these defaults; in the other, torchvision's RandomPhotometricDistort
// (references/detection/transforms.py). Boxes stay as they are.
//   transform { color_jitter {} }
//   transform {
//     color_jitter {
//       probability: 0.5 order: CONTRAST_SECOND_OR_LAST channel_shuffle_probability: 0.5
//     }
//   }
class ColorJitter : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ColorJitterOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.brightness", options.brightness(), 0, 1));
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.contrast", options.contrast(), 0, 1));
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.saturation", options.saturation(), 0, 1));
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.hue", options.hue(), 0, 0.5));
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.probability", options.probability(), 0, 1));
    SSD_RETURN_IF_ERROR(CheckRange("color_jitter.channel_shuffle_probability",
                                   options.channel_shuffle_probability(), 0, 1));
    return std::unique_ptr<Transform>(new ColorJitter(options));
  }

  void Apply(Random& random, Sample& sample) const override {
    std::vector<ColorStep> steps;
    for (const ColorStep::Kind kind : DrawOrder(random)) {
      if (!random.Bernoulli(options_.probability())) continue;
      const ColorStep step{kind, DrawAmount(kind, random)};
      if (!step.IsIdentity()) steps.push_back(step);
    }
    if (NeedWholeImage(steps)) {
      sample.image = LazyImage(std::make_shared<JitteredView>(sample.image, std::move(steps)));
    } else if (!steps.empty()) {
      sample.image.Recolor([steps](cv::Mat& rgb) { ApplyColorSteps(steps, rgb); });
    }
    if (!random.Bernoulli(options_.channel_shuffle_probability())) return;
    const ChannelPermutation permutation = ChannelPermutation::Draw(random);
    if (permutation.IsIdentity()) return;
    sample.image.Recolor([permutation](cv::Mat& rgb) { permutation.Apply(rgb); });
  }

 private:
  using Order = std::array<ColorStep::Kind, 4>;

  explicit ColorJitter(const ColorJitterOptions& options) : options_(options) {}

  Order DrawOrder(Random& random) const {
    if (options_.order() == ColorJitterOptions::CONTRAST_SECOND_OR_LAST) {
      if (random.Bernoulli(0.5)) {
        return {ColorStep::BRIGHTNESS, ColorStep::CONTRAST, ColorStep::SATURATION, ColorStep::HUE};
      }
      return {ColorStep::BRIGHTNESS, ColorStep::SATURATION, ColorStep::HUE, ColorStep::CONTRAST};
    }
    Order order = {ColorStep::BRIGHTNESS, ColorStep::CONTRAST, ColorStep::SATURATION,
                   ColorStep::HUE};
    for (size_t i = order.size() - 1; i > 0; --i) {
      std::swap(order[i], order[static_cast<size_t>(random.Integer(0, static_cast<int64_t>(i)))]);
    }
    return order;
  }

  double DrawAmount(ColorStep::Kind kind, Random& random) const {
    double spread = options_.hue();
    if (kind == ColorStep::BRIGHTNESS) spread = options_.brightness();
    if (kind == ColorStep::CONTRAST) spread = options_.contrast();
    if (kind == ColorStep::SATURATION) spread = options_.saturation();
    const double middle = kind == ColorStep::HUE ? 0 : 1;
    return random.Uniform(middle - spread, middle + spread);
  }

  const ColorJitterOptions options_;
};

SSD_REGISTER_TRANSFORM(ColorJitterOptions, ColorJitter);

}  // namespace
}  // namespace ssd
