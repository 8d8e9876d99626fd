#include <memory>

#include "data/transforms/channel_permutation.h"
#include "data/transforms/color_change.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// SSD's colour distortion (arXiv:1512.02325, section 3.6; Caffe's ApplyDistort): brightness, then
// contrast before or after saturation and hue at even odds; each is done with `probability` and an
// amount drawn uniformly; then, with a probability of its own, the channels in any order. Boxes
// stay as they are.
//   transform { photometric_distortion { brightness: 32 hue: 18 } }
// mmdetection's, but for its floating point:
//   transform {
//     photometric_distortion { hue: 9 wrap_hue: true channel_shuffle_probability: 0.5 }
//   }
class PhotometricDistortion : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(
      const PhotometricDistortionOptions& options, const TransformContext& context) {
    constexpr double kMaxFactor = 255;  // takes the least value to the greatest
    SSD_RETURN_IF_ERROR(
        CheckRange("photometric_distortion.brightness", options.brightness(), 0, 255));
    SSD_RETURN_IF_ERROR(
        CheckRange("photometric_distortion.max_contrast", options.max_contrast(), 0, kMaxFactor));
    SSD_RETURN_IF_ERROR(CheckRange("photometric_distortion.min_contrast", options.min_contrast(), 0,
                                   options.max_contrast()));
    SSD_RETURN_IF_ERROR(CheckRange("photometric_distortion.max_saturation",
                                   options.max_saturation(), 0, kMaxFactor));
    SSD_RETURN_IF_ERROR(CheckRange("photometric_distortion.min_saturation",
                                   options.min_saturation(), 0, options.max_saturation()));
    SSD_RETURN_IF_ERROR(CheckRange("photometric_distortion.hue", options.hue(), 0, 180));
    SSD_RETURN_IF_ERROR(
        CheckRange("photometric_distortion.probability", options.probability(), 0, 1));
    SSD_RETURN_IF_ERROR(CheckRange("photometric_distortion.channel_shuffle_probability",
                                   options.channel_shuffle_probability(), 0, 1));
    return std::unique_ptr<Transform>(new PhotometricDistortion(options));
  }

  void Apply(Random& random, Sample& sample) const override {
    const double probability = options_.probability();
    ColorChange change;
    change.wrap_hue = options_.wrap_hue();
    change.contrast_last = random.Bernoulli(0.5);
    if (random.Bernoulli(probability)) {
      change.brightness = random.Uniform(-options_.brightness(), options_.brightness());
    }
    if (random.Bernoulli(probability)) {
      change.contrast = random.Uniform(options_.min_contrast(), options_.max_contrast());
    }
    if (random.Bernoulli(probability)) {
      change.saturation = random.Uniform(options_.min_saturation(), options_.max_saturation());
    }
    if (random.Bernoulli(probability)) change.hue = random.Uniform(-options_.hue(), options_.hue());
    if (!change.IsIdentity()) {
      sample.image.Recolor([change](cv::Mat& rgb) { change.Apply(rgb); });
    }
    // Draws nothing where it is 0: what comes after is then as without this option.
    if (options_.channel_shuffle_probability() == 0 ||
        !random.Bernoulli(options_.channel_shuffle_probability())) {
      return;
    }
    const ChannelPermutation permutation = ChannelPermutation::Draw(random);
    if (permutation.IsIdentity()) return;
    sample.image.Recolor([permutation](cv::Mat& rgb) { permutation.Apply(rgb); });
  }

 private:
  explicit PhotometricDistortion(const PhotometricDistortionOptions& options) : options_(options) {}

  const PhotometricDistortionOptions options_;
};

SSD_REGISTER_TRANSFORM(PhotometricDistortionOptions, PhotometricDistortion);

}  // namespace
}  // namespace ssd
