#include "ssd/train/evaluation.h"

#include <c10/core/InferenceMode.h>

#include <optional>
#include <utility>

#include "ssd/core/status_macros.h"
#include "ssd/model/detections_in_pixels.h"

namespace ssd {
namespace {

// Evaluation mode while it lives, then the mode from before.
class EvaluationModeScope {
 public:
  explicit EvaluationModeScope(torch::nn::Module& module)
      : module_(module), was_training_(module.is_training()) {
    module_.eval();
  }
  ~EvaluationModeScope() { module_.train(was_training_); }
  EvaluationModeScope(const EvaluationModeScope&) = delete;
  EvaluationModeScope& operator=(const EvaluationModeScope&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
};

}  // namespace

absl::StatusOr<std::vector<ImageDetections>> DetectInBatches(SsdDetector& detector,
                                                             BatchSource& batches,
                                                             at::Device device,
                                                             const ComputeFormat& format,
                                                             const TestTimeViews& views) {
  const EvaluationModeScope evaluation_mode(detector);
  const c10::InferenceMode inference_mode;
  std::vector<ImageDetections> found;
  SSD_RETURN_IF_ERROR(batches.Start(/*epoch=*/0, /*first_batch=*/0));
  while (true) {
    SSD_ASSIGN_OR_RETURN(std::optional<Batch> batch, batches.Next());
    if (!batch.has_value()) return found;
    const Detections detections =
        views.Detect(detector, PlaceImages(batch->images, device, format.memory_format), format);
    for (ImageDetections& image :
         DetectionsInPixels(detections, batch->image_ids, batch->geometry)) {
      found.push_back(std::move(image));
    }
  }
}

absl::StatusOr<EvaluationOutcome> EvaluateDetector(SsdDetector& detector, BatchSource& batches,
                                                   Evaluator& evaluator, at::Device device,
                                                   const ComputeFormat& format,
                                                   const TestTimeViews& views) {
  EvaluationOutcome outcome;
  SSD_ASSIGN_OR_RETURN(outcome.detections,
                       DetectInBatches(detector, batches, device, format, views));
  evaluator.Reset();
  for (const ImageDetections& image : outcome.detections) {
    evaluator.Add(image.image_id, image.detections);
  }
  outcome.metrics = evaluator.Compute();
  outcome.skipped_images = batches.statistics().skipped_images;
  return outcome;
}

}  // namespace ssd
