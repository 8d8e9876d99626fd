#include "experiments/load_experiment.h"

#include <vector>

#include "experiments/resolve_experiment.h"
#include "experiments/validate_experiment.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const std::string> overrides,
                                          const std::string& working_directory) {
  std::vector<Override> placed;
  for (const std::string& assignment : overrides) placed.push_back({assignment, working_directory});
  return LoadExperiment(path, placed, working_directory);
}

absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const Override> overrides,
                                          const std::string& working_directory) {
  FieldLocations locations;
  SSD_ASSIGN_OR_RETURN(Experiment experiment,
                       MergeExperiment(path, overrides, working_directory, locations));
  Resolve(experiment);
  SSD_RETURN_IF_ERROR(Validate(experiment, locations));
  return experiment;
}

}  // namespace ssd
