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
};

// The detections of a batch's images, best first, led back to the original pixels by their geometry
// and clipped; what lies outside the image altogether is dropped. Waits for the device.
std::vector<ImageDetections> DetectionsInPixels(const Detections& detections,
                                                const std::vector<int64_t>& image_ids,
                                                const std::vector<Geometry>& geometry);

// Runs the detector, in evaluation mode and without gradients, over one epoch of `batches` and
// judges what it finds in `views` of each image. `evaluator` is reset first. The detector comes
// back in the mode it was in; it must be on `device`, in `format`. \error the batch source's,
// naming the file at fault.
absl::StatusOr<EvaluationOutcome> EvaluateDetector(SsdDetector& detector, BatchSource& batches,
                                                   Evaluator& evaluator, at::Device device,
                                                   const ComputeFormat& format,
                                                   const TestTimeViews& views = TestTimeViews());

}  // namespace ssd

#endif  // SSD_TRAIN_EVALUATION_H_
