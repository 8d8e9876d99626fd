#include "experiments/resume_experiment.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/field_path.h"
#include "experiments/load_experiment.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<Experiment> ResumeExperiment(const RunFolder& folder, const Experiment& asked,
                                            const std::string& working_directory) {
  SSD_ASSIGN_OR_RETURN(
      const Experiment saved,
      LoadExperiment(folder.config(), std::vector<std::string>(), working_directory));
  Experiment experiment = asked;
  experiment.set_name(saved.name());
  if (asked.data().label().empty()) {
    *experiment.mutable_data()->mutable_label() = saved.data().label();
  }
  TrainerConfig& trainer = *experiment.mutable_trainer();
  if (trainer.precision() == TrainerConfig::AUTO) {
    trainer.set_precision(saved.trainer().precision());
  }
  if (trainer.memory_format() == TrainerConfig::AUTO_FORMAT) {
    trainer.set_memory_format(saved.trainer().memory_format());
  }
  Experiment expected = saved;
  expected.mutable_trainer()->set_time_limit(trainer.time_limit());
  const std::string difference = ShownDifference(expected, experiment);
  if (!difference.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        folder.path(), ": was started with another config: ", difference, "; undo the change (",
        folder.config(), " is what it was started with), or start anew under another --output"));
  }
  return experiment;
}

}  // namespace ssd
