#ifndef SSD_TRAIN_TRAINER_H_
#define SSD_TRAIN_TRAINER_H_

#include <c10/core/Device.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/batch_source.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/schedule.h"
#include "ssd/train/checkpoint.h"
#include "ssd/train/compute_format.h"
#include "ssd/train/ema.h"
#include "ssd/train/observer.h"
#include "ssd/train/run_length.h"
#include "ssd/train/trainer.pb.h"

namespace ssd {

// What a Trainer is made of. Pointers must outlive it.
struct TrainerParts {
  SsdDetector* detector = nullptr;  // on `device`, laid out as `config` says (PlaceModule)
  BatchSource* batches = nullptr;
  Optimizer* optimizer = nullptr;  // of the detector's parameters, made after they were placed
  const Schedule* schedule = nullptr;
  TrainerConfig config;  // valid, and neither AUTO nor AUTO_FORMAT
  at::Device device = at::kCPU;
  std::vector<TrainingObserver*> observers;
  // Judges the detector, which holds the averaged weights if there are any. Null: nothing is
  // evaluated, and the last weights count as the best.
  std::function<absl::StatusOr<Metrics>(SsdDetector&)> evaluate;
  // Writes the detector's present weights as best.pt, whole or not at all. Null: not wanted.
  std::function<absl::Status(SsdDetector&, const std::string& path)> save_best;
  // Gets checkpoints/last.pt and best.pt, and nonfinite_step_N.pt: what Resume() needs to take that
  // step once more, and its batches beside ("batch0/images", boxes, labels, ignore, image_ids and
  // losses; "gradient_norm"; text "message"). Empty: nothing is written.
  std::string run_folder;
  // A resumed run must have the same.
  std::string config_text;
  std::string data_digest;
  // Not null: a value other than 0 ends the run at the next step.
  const std::atomic<int>* stop = nullptr;
};

struct TrainingOutcome {
  std::string status;  // "done", "interrupted" or "time limit"
  int64_t step = 0;    // optimizer steps done since the very start
  std::optional<double> best_metric;
  // Of best.pt: the evaluation it comes from, or the last step of a run that was stopped before its
  // first evaluation. 0: none was written.
  int64_t best_step = 0;
};

// Trains a detector: batches in, weights, checkpoints and records out. The same loop on every
// device. On an accelerator the host is one step ahead: having given it a step it waits for the one
// before, so that the device always has work; only at logging steps, evaluations and checkpoints
// does it wait for all. Does not make its parts, evaluate, or write logs.
//
// A run that was stopped anywhere and resumed goes through the same bits as one that never stopped:
// the place in the data and the learning rate are functions of the step alone, and last.pt holds
// the rest.
class Trainer {
 public:
  explicit Trainer(TrainerParts parts);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Goes on from the checkpoint that `path` holds; before Run().
  // \error FailedPrecondition naming `path` if it is of another run (CheckSameRun).
  absl::Status Resume(const Checkpoint& checkpoint, const std::string& path);

  // Optimizer steps done.
  int64_t step() const { return step_; }

  // Trains to the end of the run, or to a stop or the time limit. Then last.pt is written; where
  // nothing was evaluated yet, its weights are best.pt, too.
  // \error Aborted if a loss or gradient is not finite: names the step, epoch, batch, images and
  // term, and the file that holds a checkpoint of before that step and its batches; weights,
  // buffers and optimizer are as before that step, too, and last.pt is untouched. As
  // ExceptionStatus, with the step, if something throws. Otherwise the error of a part.
  absl::StatusOr<TrainingOutcome> Run();

 private:
  struct PendingStep;

  absl::StatusOr<TrainingOutcome> Train();
  absl::Status Step();
  absl::StatusOr<Batch> NextBatch();
  void SaveBuffers(int64_t step);
  absl::Status CheckOldest();
  absl::Status Settle();
  absl::Status StopAtNonfinite(const PendingStep& pending, const std::vector<float>& report);
  void Log();
  absl::Status Evaluate();
  absl::Status SaveBest();
  absl::Status SaveLast();
  // Of the present step.
  Checkpoint State() const;
  StateTensors ModelState() const;
  double EpochOf(int64_t step) const;
  bool HasRunFolder() const { return !parts_.run_folder.empty(); }

  TrainerParts parts_;
  ComputeFormat format_;
  RunLength length_;
  int64_t batches_per_epoch_;
  std::vector<Tensor> parameters_;  // that require a gradient
  std::unique_ptr<ExponentialMovingAverage> average_;

  int64_t step_ = 0;
  int64_t saved_step_ = -1;  // of last.pt, if this object wrote or read it
  CheckpointState::Window window_;
  std::optional<CheckpointState::Best> best_;
  int64_t epoch_ = 0;  // of the batch source

  // The host learns what a step brought `lag_` steps later. A step that was not finite withholds
  // itself and all that follow from the weights; their buffers come back from a copy.
  size_t lag_;
  std::deque<std::unique_ptr<PendingStep>> pending_;
  Tensor found_nonfinite_;  // 0-d f32, on the device; 1 from the first such step on
  std::vector<Tensor> buffers_;
  std::vector<std::vector<Tensor>> saved_buffers_;  // [step % (lag_ + 1)]

  // Clocks, in seconds; never part of the run's result.
  double start_ = 0;
  double saved_at_ = 0;  // when last.pt was last written, or training began
  int64_t first_step_ = 0;
  double waited_ = 0;   // for batches, since the last logging step
  double trained_ = 0;  // waits included, since the last logging step
  int64_t trained_images_ = 0;
  BatchSourceStatistics loaded_;  // up to the last logging step
};

}  // namespace ssd

#endif  // SSD_TRAIN_TRAINER_H_
