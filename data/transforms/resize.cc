#include <memory>
#include <opencv2/imgproc.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"

namespace ssd {
namespace {

int InterpolationFlag(ResizeOptions::Interpolation interpolation) {
  switch (interpolation) {
    case ResizeOptions::NEAREST:
      return cv::INTER_NEAREST;
    case ResizeOptions::AREA:
      return cv::INTER_AREA;
    case ResizeOptions::CUBIC:
      return cv::INTER_CUBIC;
    case ResizeOptions::LANCZOS:
      return cv::INTER_LANCZOS4;
    case ResizeOptions::LINEAR:
    case ResizeOptions::RANDOM:
      break;
  }
  return cv::INTER_LINEAR;
}

// Warps the view to the network's input, without keeping its aspect ratio (arXiv:1512.02325).
// Pixels are interpolated as cv::resize does, which only AREA smooths when shrinking.
//   transform { resize { interpolation: RANDOM } }
class Resize : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ResizeOptions& options,
                                                           const TransformContext& context) {
    if (context.input.height <= 0 || context.input.width <= 0) {
      return absl::InvalidArgumentError(absl::StrCat("resize: model.input is ", context.input.width,
                                                     "x", context.input.height,
                                                     "; set a positive width and height"));
    }
    return std::unique_ptr<Transform>(new Resize(options.interpolation(), context.input));
  }

  void Apply(Random& random, Sample& sample) const override {
    ResizeOptions::Interpolation interpolation = interpolation_;
    if (interpolation == ResizeOptions::RANDOM) {
      constexpr ResizeOptions::Interpolation kChoices[] = {
          ResizeOptions::LINEAR, ResizeOptions::AREA, ResizeOptions::NEAREST, ResizeOptions::CUBIC,
          ResizeOptions::LANCZOS};
      interpolation = kChoices[random.Integer(0, 4)];
    }
    ResizeView(sample, size_, InterpolationFlag(interpolation));
  }

 private:
  Resize(ResizeOptions::Interpolation interpolation, ImageSize size)
      : interpolation_(interpolation), size_(size) {}

  const ResizeOptions::Interpolation interpolation_;
  const ImageSize size_;
};

SSD_REGISTER_TRANSFORM(ResizeOptions, Resize);

}  // namespace
}  // namespace ssd
