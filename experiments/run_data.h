#ifndef EXPERIMENTS_RUN_DATA_H_
#define EXPERIMENTS_RUN_DATA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/batch_loader.h"
#include "data/dataset.h"
#include "experiments/experiment.pb.h"

namespace ssd {

// A dataset and the loader that makes batches of it.
struct LoadedData {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<BatchLoader> loader;  // after `dataset`: it goes first
};

// What batches are for.
enum class DataUse {
  kTraining,    // shuffled, whole batches only
  kEvaluation,  // in the dataset's order, every image once
};

// Opens `config` without its transforms. `labels`, `field`: as LoadData.
// \error naming field, file, value and remedy, also when there is no class.
absl::StatusOr<std::unique_ptr<Dataset>> OpenDataset(const DatasetConfig& config,
                                                     const std::vector<std::string>& labels,
                                                     const std::string& field);

// Opens `config` (a part of `experiment`) and a loader over it. `labels`: the experiment's class
// names; empty: the dataset's own. `field` starts error messages: "data.train".
// \error naming field, file, value and remedy.
absl::StatusOr<LoadedData> LoadData(const Experiment& experiment, const DatasetConfig& config,
                                    const std::vector<std::string>& labels, DataUse use,
                                    bool pin_memory, const std::string& field);

// Opens the experiment's datasets and lets go of them: whether they are there and can be read.
// \error as LoadData.
absl::Status OpenDatasets(const Experiment& experiment);

// The experiment's class names (data.label) as CreateDataset takes them.
std::vector<std::string> LabelNames(const Experiment& experiment);

// The exact truths of every image, for an evaluator. \error from the dataset.
absl::StatusOr<std::vector<Annotations>> AllAnnotations(const Dataset& dataset);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_DATA_H_
