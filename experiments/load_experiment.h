#ifndef EXPERIMENTS_LOAD_EXPERIMENT_H_
#define EXPERIMENTS_LOAD_EXPERIMENT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "experiments/experiment.pb.h"
#include "experiments/merge_experiment.h"
#include "experiments/validate_experiment.h"

namespace ssd {

// From an experiment file to the one message a run is made of: merged over its bases, overrides
// applied, defaults written out, validated. Opens no data. docs/configuration.md has the rules.
// Relative paths, also those in the overrides' values, start from `working_directory`.
// \error InvalidArgument or NotFound naming file, line, field, value and remedy.
absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const std::string> overrides,
                                          const std::string& working_directory,
                                          NetworkFrom network = NetworkFrom::kConfig);

// The same, where each override has a folder of its own.
absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const Override> overrides,
                                          const std::string& working_directory,
                                          NetworkFrom network = NetworkFrom::kConfig);

// `experiment` as a file that LoadExperiment reads back to an equal one: what a run folder saves.
std::string ExperimentFile(const Experiment& experiment);

}  // namespace ssd

#endif  // EXPERIMENTS_LOAD_EXPERIMENT_H_
