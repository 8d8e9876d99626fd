#include <memory>

#include "data/transforms/fill_color.h"
#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// SSD's zoom-out for small objects (arXiv:1512.02325, section 3.6; Caffe's ExpandImage): the image
// lies at a uniformly drawn place on a canvas of the mean colour. Colours changed before do not
// touch the canvas. torchvision's RandomZoomOut and mmdetection's Expand are the same.
//   transform { expand { probability: 0.5 max_ratio: 4 } }
class Expand : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ExpandOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("expand.probability", options.probability(), 0, 1));
    // A canvas of 16 times the sides is beyond any use, and near what can be held in memory.
    SSD_RETURN_IF_ERROR(CheckRange("expand.max_ratio", options.max_ratio(), 1, 16));
    SSD_RETURN_IF_ERROR(
        CheckRange("expand.min_ratio", options.min_ratio(), 1, options.max_ratio()));
    SSD_ASSIGN_OR_RETURN(const cv::Scalar fill, FillColor("expand.fill", options.fill(), context));
    return std::unique_ptr<Transform>(new Expand(options, fill));
  }

  void Apply(Random& random, Sample& sample) const override {
    if (!random.Bernoulli(options_.probability())) return;
    const double ratio = random.Uniform(options_.min_ratio(), options_.max_ratio());
    const ImageSize size = sample.image.size();
    const int width = static_cast<int>(static_cast<double>(size.width) * ratio);
    const int height = static_cast<int>(static_cast<double>(size.height) * ratio);
    const int left = static_cast<int>(random.Integer(0, width - size.width));
    const int top = static_cast<int>(random.Integer(0, height - size.height));
    CropView(sample, cv::Rect(-left, -top, width, height), fill_);
  }

 private:
  Expand(const ExpandOptions& options, const cv::Scalar& fill) : options_(options), fill_(fill) {}

  const ExpandOptions options_;
  const cv::Scalar fill_;
};

SSD_REGISTER_TRANSFORM(ExpandOptions, Expand);

}  // namespace
}  // namespace ssd
