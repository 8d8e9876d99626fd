#ifndef EXPERIMENTS_RESUME_EXPERIMENT_H_
#define EXPERIMENTS_RESUME_EXPERIMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_folder.h"

namespace ssd {

// What the run in `folder` goes on with when it is asked for as `asked` (resolved and valid): only
// a time limit may have changed, and what its first start measured or collected stays. \error
// FailedPrecondition naming the folder, the first field that differs and its values; or as
// LoadExperiment for the saved config.
absl::StatusOr<Experiment> ResumeExperiment(const RunFolder& folder, const Experiment& asked,
                                            const std::string& working_directory);

}  // namespace ssd

#endif  // EXPERIMENTS_RESUME_EXPERIMENT_H_
