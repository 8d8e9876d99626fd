#ifndef EXPERIMENTS_RUN_EVALUATION_H_
#define EXPERIMENTS_RUN_EVALUATION_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

struct EvaluationOptions {
  // Protobuf text of a dataset to judge on instead of the experiment's validation data:
  // "voc { root: \"...\" image_set: \"test\" }". Its transforms, where it has none, are those of
  // data.validation.
  std::string data;
  // A model file; empty with a run: its best.pt.
  std::string weights;
  std::string device = "auto";
  int64_t threads = 0;
  std::string working_directory;
  // Bootstrap resamples over images for confidence intervals; 0: none.
  int64_t bootstrap = 0;
};

struct MetricInterval {
  double low = 0, high = 0;  // 95 percent
};

struct EvaluationResult {
  LabelMap labels;
  Metrics metrics;
  std::map<int64_t, std::vector<PixelDetection>> detections;  // by image id
  int64_t images = 0;
  double seconds = 0;
  std::map<std::string, MetricInterval> intervals;  // by metric; with `bootstrap`
};

// Runs a trained model over a dataset and judges its detections.
// \error naming the file or field at fault; class names of data and model must agree.
absl::StatusOr<EvaluationResult> RunEvaluation(const Experiment& experiment,
                                               const EvaluationOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_EVALUATION_H_
