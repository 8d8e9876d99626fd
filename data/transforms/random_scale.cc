#include <limits>
#include <memory>

#include "data/transforms/fill_color.h"
#include "data/transforms/interpolation.h"
#include "data/transforms/network_view.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Scale jitter (arXiv:2012.07177, section 4; torchvision's ScaleJitter and FixedSizeCrop,
// mmdetection's RandomResize, RandomCrop and Pad): the view at a random size, its aspect ratio
// kept, then a random part of it of the network's input's size, or all of it beside `fill`. Ends at
// the input's size, so no `resize` follows. Truths whose centre is outside are dropped, as
// everywhere here; the named programs keep all of which something is left.
//   transform { random_scale { min_scale: 0.5 max_scale: 2 } }
class RandomScale : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const RandomScaleOptions& options,
                                                           const TransformContext& context) {
    constexpr double kTiny = std::numeric_limits<double>::min();
    // Pixels are made before they are cut off: 16 times the sides is beyond any use.
    SSD_RETURN_IF_ERROR(CheckRange("random_scale.max_scale", options.max_scale(), kTiny, 16));
    SSD_RETURN_IF_ERROR(
        CheckRange("random_scale.min_scale", options.min_scale(), kTiny, options.max_scale()));
    SSD_RETURN_IF_ERROR(CheckInput("random_scale", context.input));
    SSD_ASSIGN_OR_RETURN(const cv::Scalar fill,
                         FillColor("random_scale.fill", options.fill(), context));
    return std::unique_ptr<Transform>(new RandomScale(options, context.input, fill));
  }

  void Apply(Random& random, Sample& sample) const override {
    const double scale = random.Uniform(options_.min_scale(), options_.max_scale());
    ResizeView(sample, ScaledToFit(sample.image.size(), size_, scale),
               DrawInterpolation(options_.interpolation(), random));
    CropOrPad(sample, size_, options_.position(), fill_, random);
  }

 private:
  RandomScale(const RandomScaleOptions& options, ImageSize size, const cv::Scalar& fill)
      : options_(options), size_(size), fill_(fill) {}

  const RandomScaleOptions options_;
  const ImageSize size_;
  const cv::Scalar fill_;
};

SSD_REGISTER_TRANSFORM(RandomScaleOptions, RandomScale);

}  // namespace
}  // namespace ssd
