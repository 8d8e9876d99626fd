#ifndef DATA_TRANSFORMS_IOU_CROP_H_
#define DATA_TRANSFORMS_IOU_CROP_H_

#include <memory>
#include <opencv2/core.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "data/transforms/transform.h"

namespace ssd {

// SSD's crop (arXiv:1512.02325, section 2.2) as Caffe does it (util/sampler.cpp). Seven samplers
// try to find a patch: the whole image; a patch with IoU of at least 0.1, 0.3, 0.5, 0.7 or 0.9 with
// some truth; any patch. Each stops at its first patch or after max_trials. One patch is drawn
// uniformly from those found, so the whole image has a chance of one in the number of successful
// samplers. Without truths only the whole image is found. Patches may leave no truth (none has its
// centre inside). Does not resize.
//   transform { iou_crop { min_scale: 0.3 } }
class IouCrop : public Transform {
 public:
  // \error InvalidArgument naming field, value and range.
  static absl::StatusOr<std::unique_ptr<Transform>> Create(const IouCropOptions& options,
                                                           const TransformContext& context);

  void Apply(Random& random, Sample& sample) const override;

  // One trial: a patch of whole pixels in an image of `size`. With scale s and aspect ratio a
  // (relative to the image's, brought into [s^2, 1/s^2], so that no side is longer than the
  // image's) its sides are s sqrt(a) and s / sqrt(a) of the image's; its place is uniform.
  cv::Rect SamplePatch(Random& random, ImageSize size) const;

  // What the seven samplers found, in their order; the whole image is always there, and first.
  std::vector<cv::Rect> FindPatches(Random& random, const Annotations& truth) const;

 private:
  explicit IouCrop(const IouCropOptions& options) : options_(options) {}

  const IouCropOptions options_;
};

}  // namespace ssd

#endif  // DATA_TRANSFORMS_IOU_CROP_H_
