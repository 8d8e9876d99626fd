#include "experiments/run_evaluation.h"

#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "experiments/load_experiment.h"
#include "experiments/merge_experiment.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "experiments/trained_model.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/bootstrap.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/test_time_views.h"

namespace ssd {

absl::StatusOr<Experiment> LoadExperimentToEvaluate(const std::string& config,
                                                    absl::Span<const std::string> overrides,
                                                    const std::string& data,
                                                    const std::string& working_directory) {
  std::vector<Override> placed;
  for (const std::string& assignment : overrides) placed.push_back({assignment, working_directory});
  SSD_ASSIGN_OR_RETURN(Experiment experiment,
                       LoadExperiment(config, placed, working_directory, NetworkFrom::kModelFile));
  if (data.empty()) return experiment;
  placed.push_back({absl::StrCat("data.validation={ ", data, " }"), working_directory, "--data"});
  SSD_ASSIGN_OR_RETURN(Experiment judged,
                       LoadExperiment(config, placed, working_directory, NetworkFrom::kModelFile));
  if (judged.data().validation().transform().empty()) {
    *judged.mutable_data()->mutable_validation()->mutable_transform() =
        experiment.data().validation().transform();
  }
  return judged;
}

absl::StatusOr<EvaluationResult> RunEvaluation(const Experiment& experiment,
                                               const EvaluationOptions& options) {
  if (options.bootstrap_resamples < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--bootstrap=", options.bootstrap_resamples, ": must be 0 or more"));
  }
  SSD_RETURN_IF_ERROR(SetThreads(options.threads).status());
  SSD_ASSIGN_OR_RETURN(const at::Device device, SelectDevice(options.device));
  SSD_ASSIGN_OR_RETURN(const TrainedModel model,
                       LoadTrainedModel(experiment, options.weights, device));
  SSD_ASSIGN_OR_RETURN(
      const ValidationData validation,
      LoadValidationData(experiment, model.labels.names, device.is_cuda(), options.data_field));
  SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                       TestTimeViews::Create(experiment.evaluator().views(), *model.detector));
  const auto start = std::chrono::steady_clock::now();
  SSD_ASSIGN_OR_RETURN(EvaluationOutcome outcome,
                       EvaluateDetector(*model.detector, *validation.data.loader,
                                        *validation.evaluator, device, model.format, views));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EvaluationResult result;
  result.labels = validation.data.dataset->labels();
  result.metrics = std::move(outcome.metrics);
  result.detections = std::move(outcome.detections);
  result.facts = FactsOf(validation.data.dataset->size(), result.detections);
  result.facts.seconds = seconds;
  if (options.bootstrap_resamples > 0) {
    BootstrapOptions bootstrap;
    bootstrap.resamples = options.bootstrap_resamples;
    bootstrap.seed = experiment.seed();
    result.facts.intervals =
        BootstrapIntervals(*validation.evaluator, validation.data.dataset->size(), bootstrap);
  }
  return result;
}

}  // namespace ssd
