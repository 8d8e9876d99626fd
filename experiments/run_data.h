#ifndef EXPERIMENTS_RUN_DATA_H_
#define EXPERIMENTS_RUN_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/batch_loader.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "data/transforms/transform.h"
#include "experiments/experiment.pb.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// A dataset and the loader that makes batches of it.
struct LoadedData {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<BatchLoader> loader;  // after `dataset`: it goes first
};

// What batches are for.
enum class DataUse {
  kTraining,    // shuffled, sampled and cut into batches as data.loader says
  kEvaluation,  // in the dataset's order, every image once
};

// The dataset of `experiment` that --split names: "train" is data.train, "validation"
// data.validation. \error InvalidArgument naming the flag for any other.
absl::StatusOr<const DatasetConfig*> DatasetOfSplit(const Experiment& experiment,
                                                    const std::string& split);

// Opens `config` without its transforms. `labels`, `field`: as LoadData; `problems`: as
// DatasetContext. \error naming field, file, value and remedy, also when there is no class or no
// image.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field,
                                                     ProblemLog* problems = nullptr);

// The same as runs of `experiment`, of which `config` is a part, open it: where its
// data.loader.on_bad_image is SKIP, images whose size cannot be read are left out, and counted in
// *left_out if it is not null.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const Experiment& experiment,
                                                     const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field,
                                                     int64_t* left_out = nullptr);

// What transforms are told of the network that sees their result.
TransformContext ContextOf(const ModelConfig& model);

// Opens `config` (a part of `experiment`) and a loader over it. `labels`: the experiment's class
// names; empty: the dataset's own. `field` starts error messages: "data.train".
// \error naming field, file, value and remedy.
absl::StatusOr<LoadedData> LoadData(const Experiment& experiment, const DatasetConfig& config,
                                    const std::vector<std::string>& labels, DataUse use,
                                    bool pin_memory, const std::string& field);

// data.validation and what judges detections in it.
struct ValidationData {
  LoadedData data;
  std::unique_ptr<Evaluator> evaluator;
};

// Opens data.validation of `experiment` and makes its evaluator. `labels`: as LoadData; a trained
// network's. `field`: as LoadData. \error as LoadData, or the evaluator's.
absl::StatusOr<ValidationData> LoadValidationData(const Experiment& experiment,
                                                  const std::vector<std::string>& labels,
                                                  bool pin_memory, const std::string& field);

// All data of a run. Its classes are those of train.dataset.
struct RunData {
  LoadedData train;
  ValidationData validation;
};

// \error as LoadValidationData.
absl::StatusOr<RunData> LoadRunData(const Experiment& experiment, bool pin_memory);

// The experiment's class names (data.label) as CreateDataset takes them.
std::vector<std::string> LabelNames(const Experiment& experiment);

// The exact truths of every image, for an evaluator. \error from the dataset.
absl::StatusOr<std::vector<Annotations>> AllAnnotations(const Dataset& dataset);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_DATA_H_
