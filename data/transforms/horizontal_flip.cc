#include <memory>

#include "data/transforms/sample_view.h"
#include "data/transforms/transform.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Mirrors the view left to right with the given probability.
//   transform { horizontal_flip { probability: 0.5 } }
class HorizontalFlip : public Transform {
 public:
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const HorizontalFlipOptions& options,
                                                           const TransformContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("horizontal_flip.probability", options.probability(), 0, 1));
    return std::unique_ptr<Transform>(new HorizontalFlip(options.probability()));
  }

  void Apply(Random& random, Sample& sample) const override {
    if (random.Bernoulli(probability_)) FlipViewHorizontally(sample);
  }

 private:
  explicit HorizontalFlip(double probability) : probability_(probability) {}

  const double probability_;
};

SSD_REGISTER_TRANSFORM(HorizontalFlipOptions, HorizontalFlip);

}  // namespace
}  // namespace ssd
