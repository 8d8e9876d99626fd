#ifndef SSD_TRAIN_OBSERVER_H_
#define SSD_TRAIN_OBSERVER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "ssd/eval/evaluator.h"

namespace ssd {

// One logging step: means over the steps since the last one, except where said.
struct StepRecord {
  int64_t step = 0;          // optimizer steps done
  int64_t total_steps = 0;   // of the whole run
  double epoch = 0;          // with fraction
  int64_t total_epochs = 0;  // rounded up
  double loss = 0;
  double classification_loss = 0;
  double localization_loss = 0;
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;  // of the last step
  // What a clock says.
  double images_per_second = 0;
  double data_wait_share = 0;  // of wall time spent waiting for a batch; [0, 1]
  // Of the source of batches, where it counts. Seconds are of one thread.
  std::optional<double> decode_seconds;     // to read and decode an image
  std::optional<double> transform_seconds;  // for everything else an image takes
  std::optional<double> queue_depth;        // batches that were ready when one was asked for
  std::optional<double> cache_hit_rate;     // of images; [0, 1]
  double seconds = 0;                       // since this process began to train
  double seconds_left = 0;                  // estimate
};

struct EvaluationRecord {
  int64_t step = 0;
  double epoch = 0;
  const Metrics* metrics = nullptr;  // valid during the call
  bool best = false;                 // the best so far
  double seconds = 0;                // the evaluation took
};

// Told of what happens in a run, in order, on the training thread. Must not change the run.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  // Called every trainer.log_every steps and after the last one.
  virtual void OnStep(const StepRecord& record) {}
  virtual void OnEvaluation(const EvaluationRecord& record) {}
  // A checkpoint of `step` is about to be written; what was reported so far must reach the disk
  // before this returns. (Resuming cuts away what was reported after the checkpoint it starts
  // from.)
  virtual void OnCheckpoint(int64_t step) {}
  // The run is over; `status` as run.json has it ("done", "interrupted", "time limit", "failed").
  virtual void OnEnd(const std::string& status) {}
};

}  // namespace ssd

#endif  // SSD_TRAIN_OBSERVER_H_
