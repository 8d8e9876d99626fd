#include "experiments/load_experiment.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/resolve_experiment.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"

namespace ssd {

absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const std::string> overrides,
                                          const std::string& working_directory,
                                          NetworkFrom network) {
  std::vector<Override> placed;
  for (const std::string& assignment : overrides) placed.push_back({assignment, working_directory});
  return LoadExperiment(path, placed, working_directory, network);
}

absl::StatusOr<Experiment> LoadExperiment(const std::string& path,
                                          absl::Span<const Override> overrides,
                                          const std::string& working_directory,
                                          NetworkFrom network) {
  FieldLocations locations;
  SSD_ASSIGN_OR_RETURN(Experiment experiment,
                       MergeExperiment(path, overrides, working_directory, locations));
  Resolve(experiment);
  SSD_RETURN_IF_ERROR(Validate(experiment, locations, network));
  return experiment;
}

std::string ExperimentFile(const Experiment& experiment) {
  return absl::StrCat(
      "# proto-file: experiments/experiment.proto\n"
      "# proto-message: ssd.Experiment\n",
      PrintTextProto(experiment));
}

}  // namespace ssd
