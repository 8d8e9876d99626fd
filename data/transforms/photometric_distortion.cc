#include <memory>

#include "data/transforms/color_change.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// SSD's colour distortion (arXiv:1512.02325, section 3.6; Caffe's ApplyDistort): brightness, then
// contrast before or after saturation and hue at even odds; each is done with `probability` and an
// amount drawn uniformly. Does not swap channels. Boxes stay as they are.
//   transform { photometric_distortion { brightness: 32 hue: 18 } }
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
    return std::unique_ptr<Transform>(new PhotometricDistortion(options));
  }

  void Apply(Random& random, Sample& sample) const override {
    const double probability = options_.probability();
    ColorChange change;
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
    if (change.IsIdentity()) return;
    sample.image.Recolor([change](cv::Mat& rgb) { change.Apply(rgb); });
  }

 private:
  explicit PhotometricDistortion(const PhotometricDistortionOptions& options) : options_(options) {}

  const PhotometricDistortionOptions options_;
};

SSD_REGISTER_TRANSFORM(PhotometricDistortionOptions, PhotometricDistortion);

}  // namespace
}  // namespace ssd
