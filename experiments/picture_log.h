#ifndef EXPERIMENTS_PICTURE_LOG_H_
#define EXPERIMENTS_PICTURE_LOG_H_

#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/train/observer.h"
#include "ssd/train/observers/event_log.h"

namespace ssd {

// Shows TensorBoard, at every evaluation, the first validation images with their truths and with
// what was found in them: tags truth/0, detections/0, ... A picture that cannot be made is left out
// with a line on the log; it does not stop the run.
class PictureLog final : public TrainingObserver {
 public:
  // All must outlive this. `detections` holds those of the evaluation being reported whenever
  // OnEvaluation is called.
  PictureLog(const Dataset& validation, const std::vector<ImageDetections>& detections,
             EventLog& events);

  void OnEvaluation(const EvaluationRecord& record) override;

 private:
  absl::Status AddPictures(int64_t index, int64_t step);

  const Dataset& validation_;
  const std::vector<ImageDetections>& detections_;
  EventLog& events_;
};

}  // namespace ssd

#endif  // EXPERIMENTS_PICTURE_LOG_H_
