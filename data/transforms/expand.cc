#include <memory>

#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// SSD's zoom-out for small objects (arXiv:1512.02325, section 3.6; Caffe's ExpandImage): the image
// lies at a uniformly drawn place on a canvas of the mean colour. Colours changed before do not
// touch the canvas.
//   transform { expand { probability: 0.5 max_ratio: 4 } }
class Expand : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const ExpandOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("expand.probability", options.probability(), 0, 1));
    // A canvas of 16 times the sides is beyond any use, and near what can be held in memory.
    SSD_RETURN_IF_ERROR(CheckRange("expand.max_ratio", options.max_ratio(), 1, 16));
    return std::unique_ptr<Transform>(new Expand(options, context));
  }

  void Apply(Random& random, Sample& sample) const override {
    if (!random.Bernoulli(options_.probability())) return;
    const double ratio = random.Uniform(1, options_.max_ratio());
    const ImageSize size = sample.image.size();
    const int width = static_cast<int>(static_cast<double>(size.width) * ratio);
    const int height = static_cast<int>(static_cast<double>(size.height) * ratio);
    const int left = static_cast<int>(random.Integer(0, width - size.width));
    const int top = static_cast<int>(random.Integer(0, height - size.height));
    CropView(sample, cv::Rect(-left, -top, width, height), fill_);
  }

 private:
  Expand(const ExpandOptions& options, const TransformContext& context)
      : options_(options), fill_(context.fill[0], context.fill[1], context.fill[2]) {}

  const ExpandOptions options_;
  const cv::Scalar fill_;
};

SSD_REGISTER_TRANSFORM(ExpandOptions, Expand);

}  // namespace
}  // namespace ssd
