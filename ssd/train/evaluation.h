#ifndef SSD_TRAIN_EVALUATION_H_
#define SSD_TRAIN_EVALUATION_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/batch_source.h"
#include "ssd/core/types.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"
#include "ssd/train/test_time_views.h"

namespace ssd {

struct EvaluationOutcome {
  Metrics metrics;
  std::vector<ImageDetections> detections;  // in the batches' order
  int64_t skipped_images = 0;               // that the batch source could not read
};

// What the detector, in evaluation mode and without gradients, finds in `views` of each image of
// one epoch of `batches`, in the batches' order. The detector comes back in the mode it was in; it
// must be on `device`, in `format`. \error the batch source's, naming the file at fault.
absl::StatusOr<std::vector<ImageDetections>> DetectInBatches(
    SsdDetector& detector, BatchSource& batches, at::Device device, const ComputeFormat& format,
    const TestTimeViews& views = TestTimeViews());

// DetectInBatches, and what `evaluator`, which is reset first, makes of it. \error as there.
absl::StatusOr<EvaluationOutcome> EvaluateDetector(SsdDetector& detector, BatchSource& batches,
                                                   Evaluator& evaluator, at::Device device,
                                                   const ComputeFormat& format,
                                                   const TestTimeViews& views = TestTimeViews());

}  // namespace ssd

#endif  // SSD_TRAIN_EVALUATION_H_
