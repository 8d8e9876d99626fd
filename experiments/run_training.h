#ifndef EXPERIMENTS_RUN_TRAINING_H_
#define EXPERIMENTS_RUN_TRAINING_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_folder.h"
#include "experiments/run_record.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

struct TrainingOptions {
  // The run folder; empty: a new one under <working_directory>/runs named after the experiment.
  std::string output;
  // Goes on with an existing run folder (`output`, or runs/<name>): from its last checkpoint, or
  // from the start where it has none yet.
  bool resume = false;
  // "auto", "cpu", "cuda" or "cuda:N".
  std::string device = "auto";
  // Of LibTorch; 0: all cores.
  int64_t threads = 0;
  std::string working_directory;
  // As the user typed it, for run.json.
  std::vector<std::string> command_line;
  // Not null: a value other than 0 (a signal's number) stops the run at the next step.
  const std::atomic<int>* stop = nullptr;
  // Shows the progress line on stderr.
  bool show_progress = true;
};

struct TrainingResult {
  RunFolder folder;
  RunRecord record;  // record.status is "done", "interrupted" or "time limit"
  // Of the best weights on the validation data; empty unless the run is done.
  Metrics metrics;
};

// Trains `experiment` (resolved and validated), evaluates its best weights and writes everything a
// run folder holds. The folder is made, or changed, once all that the run reads has been opened and
// fits. A later error leaves run.json with status "failed" and the checkpoints made so far.
absl::StatusOr<TrainingResult> RunTraining(const Experiment& experiment,
                                           const TrainingOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_TRAINING_H_
