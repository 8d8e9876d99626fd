#include "experiments/run_evaluation.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "experiments/load_experiment.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/bootstrap.h"
#include "ssd/model/model_file.h"
#include "ssd/train/compute_format.h"
#include "ssd/train/evaluation.h"
#include "ssd/train/test_time_views.h"

namespace ssd {

absl::StatusOr<Experiment> LoadExperimentToEvaluate(const std::string& config,
                                                    absl::Span<const std::string> overrides,
                                                    const std::string& data,
                                                    const std::string& working_directory) {
  SSD_ASSIGN_OR_RETURN(Experiment experiment, LoadExperiment(config, overrides, working_directory,
                                                             NetworkFrom::kModelFile));
  if (data.empty()) return experiment;
  std::vector<std::string> with_data(overrides.begin(), overrides.end());
  with_data.push_back(absl::StrCat("data.validation={ ", data, " }"));
  SSD_ASSIGN_OR_RETURN(Experiment judged, LoadExperiment(config, with_data, working_directory,
                                                         NetworkFrom::kModelFile));
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
  SSD_ASSIGN_OR_RETURN(SavedModel model, LoadModel(options.weights));
  SSD_ASSIGN_OR_RETURN(LoadedData data,
                       LoadData(experiment, experiment.data().validation(), model.labels.names,
                                DataUse::kEvaluation, device.is_cuda(), "data.validation"));
  if (model.detector->input_size() !=
      ImageSize{experiment.model().input().height(), experiment.model().input().width()}) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.weights,
                     ": its model.input differs from the config's; give the "
                     "config that it was trained with"));
  }
  // Precision and layout as in training, which a run's config states.
  ComputeFormat format{experiment.trainer().precision(), experiment.trainer().memory_format()};
  if (format.precision == TrainerConfig::AUTO) format.precision = TrainerConfig::FP32;
  if (format.memory_format == TrainerConfig::AUTO_FORMAT) {
    format.memory_format = TrainerConfig::NCHW;
  }
  PlaceModule(*model.detector, device, format.memory_format);

  EvaluationResult result;
  result.labels = data.dataset->labels();
  EvaluatorContext context;
  context.labels = result.labels;
  SSD_ASSIGN_OR_RETURN(context.truths, AllAnnotations(*data.dataset));
  SSD_ASSIGN_OR_RETURN(std::unique_ptr<Evaluator> evaluator,
                       EvaluatorRegistry::Get().Create(experiment.evaluator(), context));
  SSD_ASSIGN_OR_RETURN(const TestTimeViews views,
                       TestTimeViews::Create(experiment.evaluator().views(), *model.detector));
  const auto start = std::chrono::steady_clock::now();
  SSD_ASSIGN_OR_RETURN(
      EvaluationOutcome outcome,
      EvaluateDetector(*model.detector, *data.loader, *evaluator, device, format, views));
  result.facts.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.metrics = std::move(outcome.metrics);
  result.detections = std::move(outcome.detections);
  result.facts.images = data.dataset->size();
  int64_t detections = 0;
  for (const ImageDetections& image : result.detections) {
    detections += static_cast<int64_t>(image.detections.size());
  }
  result.facts.detections = detections;
  if (options.bootstrap_resamples > 0) {
    BootstrapOptions bootstrap;
    bootstrap.resamples = options.bootstrap_resamples;
    bootstrap.seed = experiment.seed();
    result.facts.intervals = BootstrapIntervals(*evaluator, data.dataset->size(), bootstrap);
  }
  return result;
}

}  // namespace ssd
