#include <memory>

#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Mirrors the view top to bottom with the given probability: for pictures without an up, such as
// those of microscopes and satellites.
//   transform { vertical_flip { probability: 0.5 } }
class VerticalFlip : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const VerticalFlipOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("vertical_flip.probability", options.probability(), 0, 1));
    return std::unique_ptr<Transform>(new VerticalFlip(options.probability()));
  }

  void Apply(Random& random, Sample& sample) const override {
    if (random.Bernoulli(probability_)) FlipViewVertically(sample);
  }

 private:
  explicit VerticalFlip(double probability) : probability_(probability) {}

  const double probability_;
};

SSD_REGISTER_TRANSFORM(VerticalFlipOptions, VerticalFlip);

}  // namespace
}  // namespace ssd
