#ifndef EXPERIMENTS_RUN_EVALUATION_H_
#define EXPERIMENTS_RUN_EVALUATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "experiments/experiment.pb.h"
#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/metrics_text.h"

namespace ssd {

struct EvaluationOptions {
  std::string weights;  // a model file
  std::string device = "auto";
  int64_t threads = 0;
  // Resamples of the images for 95 percent confidence intervals; 0: none.
  int64_t bootstrap_resamples = 0;
  // What messages call the data: the field, or the flag that it comes from.
  std::string data_field = "data.validation";
};

struct EvaluationResult {
  LabelMap labels;
  Metrics metrics;
  MetricsFacts facts;
  std::vector<ImageDetections> detections;
};

// The experiment of `config`, to be judged on `data` (protobuf text of a DatasetConfig: "voc {
// root: \"...\" image_set: \"test\" }"; empty: its own data.validation). Data without transforms of
// its own gets those of data.validation. Of its `model` only `input` counts: weights bring their
// network. \error as LoadExperiment; of `data`, naming --data.
absl::StatusOr<Experiment> LoadExperimentToEvaluate(const std::string& config,
                                                    absl::Span<const std::string> overrides,
                                                    const std::string& data,
                                                    const std::string& working_directory);

// Runs a trained model over data.validation of `experiment` and judges its detections.
// \error naming the file or field at fault; a class of the data that the model lacks is one.
absl::StatusOr<EvaluationResult> RunEvaluation(const Experiment& experiment,
                                               const EvaluationOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_EVALUATION_H_
