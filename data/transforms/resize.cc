#include <memory>

#include "data/transforms/interpolation.h"
#include "data/transforms/network_view.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Warps the view to the network's input, without keeping its aspect ratio (arXiv:1512.02325).
// Pixels are interpolated as cv::resize does, which only AREA smooths when shrinking.
//   transform { resize { interpolation: RANDOM } }
class Resize : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ResizeOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckInput("resize", context.input));
    return std::unique_ptr<Transform>(new Resize(options.interpolation(), context.input));
  }

  void Apply(Random& random, Sample& sample) const override {
    ResizeView(sample, size_, DrawInterpolation(interpolation_, random));
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
