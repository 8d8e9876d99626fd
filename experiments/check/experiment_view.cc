#include "experiments/check/experiment_view.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/dataset.h"
#include "data/lazy_image.h"
#include "data/transforms/transform.h"
#include "experiments/run_data.h"
#include "ssd/core/random.h"

namespace ssd {
namespace {

using Transforms = std::vector<std::unique_ptr<Transform>>;

// Stands in for an image of which only the geometry is wanted.
class SizeOnly : public ImageSource {
 public:
  explicit SizeOnly(ImageSize size) : size_(size) {}
  ImageSize size() const override { return size_; }
  absl::StatusOr<cv::Mat> Decode() const override {
    return absl::InternalError("this image has a size and no pixels");
  }

 private:
  ImageSize size_;
};

}  // namespace

absl::StatusOr<NetworkView> ViewOf(const Experiment& experiment) {
  const TransformContext context = ContextOf(experiment.model());
  absl::StatusOr<Transforms> created =
      CreateTransforms(experiment.data().validation().transform(), context);
  if (!created.ok()) {
    return absl::Status(created.status().code(),
                        absl::StrCat("data.validation: ", created.status().message()));
  }
  const auto transforms = std::make_shared<const Transforms>(*std::move(created));
  const ImageSize input = context.input;
  return NetworkView([transforms, input](ImageSize original) {
    Sample sample;
    sample.image = LazyImage(std::make_shared<SizeOnly>(original));
    sample.geometry = Geometry::Identity(original);
    sample.truth.size = original;
    Random random(0, 0, 0);
    for (const auto& transform : *transforms) transform->Apply(random, sample);
    return sample.geometry.view == input ? sample.geometry : sample.geometry.Resized(input);
  });
}

}  // namespace ssd
