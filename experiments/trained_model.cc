#include "experiments/trained_model.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.h"

namespace ssd {
namespace {

// Precision and layout of `config`. What it leaves to be measured is as the run had it that the
// model comes from (`saved`, its experiment), so that it is judged alike; float32 and channels
// first where that is not known.
ComputeFormat FormatToJudgeIn(const TrainerConfig& config, const std::string& saved) {
  Experiment trained;
  if (!ParseTextProto(saved, "experiment", trained).ok()) trained.Clear();
  ComputeFormat format = {config.precision(), config.memory_format()};
  if (format.precision == TrainerConfig::AUTO) format.precision = trained.trainer().precision();
  if (format.precision == TrainerConfig::AUTO) format.precision = TrainerConfig::FP32;
  if (format.memory_format == TrainerConfig::AUTO_FORMAT) {
    format.memory_format = trained.trainer().memory_format();
  }
  if (format.memory_format == TrainerConfig::AUTO_FORMAT) {
    format.memory_format = TrainerConfig::NCHW;
  }
  return format;
}

}  // namespace

absl::StatusOr<TrainedModel> LoadTrainedModel(const Experiment& experiment,
                                              const std::string& weights, c10::Device device) {
  SSD_ASSIGN_OR_RETURN(SavedModel saved, LoadModel(weights));
  const InputConfig& input = experiment.model().input();
  if (saved.detector->input_size() != ImageSize{input.height(), input.width()}) {
    return absl::InvalidArgumentError(absl::StrCat(weights,
                                                   ": its model.input differs from the config's; "
                                                   "give the config that it was trained with"));
  }
  TrainedModel model;
  model.detector = std::move(saved.detector);
  model.labels = std::move(saved.labels);
  model.device = device;
  model.format = FormatToJudgeIn(experiment.trainer(), saved.experiment);
  LOG(INFO) << weights << ": detects in " << FormatText(model.format);
  PlaceModule(*model.detector, device, model.format.memory_format);
  return model;
}

}  // namespace ssd
