#ifndef EXPERIMENTS_RUN_PACKING_H_
#define EXPERIMENTS_RUN_PACKING_H_

#include <string>

#include "absl/status/statusor.h"
#include "data/pack.h"
#include "experiments/experiment.pb.h"

namespace ssd {

// Packs data.train or data.validation of `experiment` (`split`: "train" or "validation"), with its
// subset and class map and without its transforms, into the new file `output`.
// \error naming flag, field or file; as PackDataset.
absl::StatusOr<PackSummary> RunPacking(const Experiment& experiment, const std::string& split,
                                       const PackOptions& options, const std::string& output);

// For people, and as one JSON document.
std::string PackText(const PackSummary& summary, const std::string& file);
std::string PackJson(const PackSummary& summary, const std::string& file);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_PACKING_H_
