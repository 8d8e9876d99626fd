#ifndef SSD_TRAIN_TEST_TIME_VIEWS_H_
#define SSD_TRAIN_TEST_TIME_VIEWS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/types.h"
#include "ssd/eval/evaluator.pb.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"

namespace ssd {

// What the network is shown of each image when it is judged: the image itself and, on request, its
// mirror image and both at other sizes (test-time augmentation; RefineDet, arXiv:1711.06897, calls
// it multi-scale testing). The boxes of every view are led back to the first, and boxes and logits
// of all views are post-processed at once, as those of one network of so many more anchors.
class TestTimeViews {
 public:
  // The image itself, once.
  TestTimeViews() = default;

  // For a detector that stays where it is.
  // \error InvalidArgument naming the field, value and remedy: a scale out of range, of the input's
  // own size or listed twice, or one that the model cannot be shown (SsdDetector::AnchorsAt).
  static absl::StatusOr<TestTimeViews> Create(const TestTimeViewsConfig& config,
                                              const SsdDetector& detector);

  // What `detector` finds. images: as SsdDetector::Forward takes them, where and as `format` says.
  // With one view, the bits of Forward and Detect. No gradient.
  Detections Detect(SsdDetector& detector, const Tensor& images, const ComputeFormat& format) const;

 private:
  struct OtherSize {
    ImageSize size;
    Anchors anchors;
  };

  bool horizontal_flip_ = false;
  std::vector<OtherSize> other_sizes_;
};

}  // namespace ssd

#endif  // SSD_TRAIN_TEST_TIME_VIEWS_H_
