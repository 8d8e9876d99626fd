#include <memory>

#include "data/transforms/fill_color.h"
#include "data/transforms/interpolation.h"
#include "data/transforms/network_view.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Resizes the view as far as it fits into the network's input, its aspect ratio kept up to the
// rounding to whole pixels, and fills the rest: mmdetection's Resize with keep_ratio and Pad (top
// left); Caffe's FIT_LARGE_SIZE_AND_PAD and the letterbox of YOLO (centre).
//   transform { resize_and_pad { position: CENTER } }
class ResizeAndPad : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ResizeAndPadOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckInput("resize_and_pad", context.input));
    SSD_ASSIGN_OR_RETURN(const cv::Scalar fill,
                         FillColor("resize_and_pad.fill", options.fill(), context));
    return std::unique_ptr<Transform>(new ResizeAndPad(options, context.input, fill));
  }

  void Apply(Random& random, Sample& sample) const override {
    ResizeView(sample, ScaledToFit(sample.image.size(), size_, 1),
               DrawInterpolation(options_.interpolation(), random));
    CropOrPad(sample, size_, options_.position(), fill_, random);
  }

 private:
  ResizeAndPad(const ResizeAndPadOptions& options, ImageSize size, const cv::Scalar& fill)
      : options_(options), size_(size), fill_(fill) {}

  const ResizeAndPadOptions options_;
  const ImageSize size_;
  const cv::Scalar fill_;
};

SSD_REGISTER_TRANSFORM(ResizeAndPadOptions, ResizeAndPad);

}  // namespace
}  // namespace ssd
