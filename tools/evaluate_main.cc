#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "experiments/run_evaluation.h"
#include "experiments/run_folder.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/eval/detections_json.h"
#include "tools/command_line.h"

namespace {

struct Flags {
  std::string run, config, weights, data, output;
  bool json = false;
  ssd::EvaluationOptions evaluation;
};

absl::Status Evaluate(Flags flags, const std::vector<std::string>& overrides) {
  if (flags.run.empty() == flags.config.empty()) {
    return absl::InvalidArgumentError("give either --run=DIR, or --config=F and --weights=W");
  }
  if (!flags.run.empty()) {
    SSD_ASSIGN_OR_RETURN(const ssd::RunFolder folder,
                         ssd::RunFolder::Open(ssd::UserPath(flags.run)));
    flags.config = folder.config();
    // Beside the run's own results: the data, the weights or the views may be others.
    if (flags.output.empty()) flags.output = folder.path() + "/evaluation";
    if (flags.weights.empty()) flags.weights = folder.best_model();
  }
  if (flags.weights.empty()) return absl::InvalidArgumentError("--weights is not set");
  if (flags.output.empty()) flags.output = "evaluation";
  flags.evaluation.weights = ssd::UserPath(flags.weights);
  SSD_ASSIGN_OR_RETURN(const ssd::Experiment experiment,
                       ssd::LoadExperimentToEvaluate(ssd::UserPath(flags.config), overrides,
                                                     flags.data, ssd::WorkingDirectory()));
  if (!flags.data.empty()) flags.evaluation.data_field = "--data";
  SSD_ASSIGN_OR_RETURN(const ssd::EvaluationResult result,
                       ssd::RunEvaluation(experiment, flags.evaluation));
  const std::string json = ssd::MetricsJson(result.metrics, result.facts);
  // First, for there may be hours of work in it and no place to write to.
  std::cout << (flags.json ? json : ssd::MetricsTable(result.metrics, result.facts)) << std::flush;
  const std::string output = ssd::UserPath(flags.output);
  std::error_code error;
  std::filesystem::create_directories(output, error);
  if (error) return ssd::FileError(error.value(), "cannot make the folder", output);
  SSD_RETURN_IF_ERROR(ssd::WriteFileAtomically(output + "/metrics.json", json));
  SSD_RETURN_IF_ERROR(
      ssd::WriteDetectionsJson(output + "/detections.json", result.detections, result.labels));
  std::cerr << "metrics.json, detections.json: in " << output << "\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  ssd::CommandLine command_line(
      "evaluate", "--run=DIR | --config=F --weights=W [path.to.field=value ...]",
      "Judges a trained model on the validation data, or on any dataset.");
  command_line.Group("Model");
  command_line.Add("run", &flags.run, "DIR", "Run folder; its best weights are judged.");
  command_line.Add("config", &flags.config, "F", "Experiment file, in place of a run.");
  command_line.Add("weights", &flags.weights, "W", "Model file (best.pt).");
  command_line.Group("Data");
  command_line.Add(
      "data", &flags.data, "TEXT",
      "Dataset in place of data.validation: 'voc { root: \"F\" image_set: \"test\" }'.");
  command_line.Add("bootstrap", &flags.evaluation.bootstrap_resamples, "N",
                   "Resamples of the images for 95 % confidence intervals; 0: none.");
  command_line.Group("Machine");
  command_line.Add("device", &flags.evaluation.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &flags.evaluation.threads, "N", "Threads of LibTorch; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("output", &flags.output, "DIR",
                   "Folder for metrics.json and detections.json, which replace those of an "
                   "earlier evaluation. Default: evaluation in the run folder or, without --run, "
                   "where you stand.");
  command_line.Add("json", &flags.json, "Print the metrics as one JSON document.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    return ssd::ExitStatus(Evaluate(flags, overrides));
  });
}
