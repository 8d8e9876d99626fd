#include <iostream>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "experiments/run_folder.h"
#include "experiments/run_visualization.h"
#include "experiments/trace_truth.h"
#include "ssd/core/status_macros.h"
#include "tools/command_line.h"

namespace {

struct Flags {
  std::string run, config, trace;
  ssd::VisualizationOptions visualization;
};

absl::Status Trace(const ssd::Experiment& experiment, const Flags& flags) {
  const ssd::VisualizationOptions& common = flags.visualization;
  ssd::TraceOptions options;
  options.truth = flags.trace;
  if (!common.split.empty()) options.split = common.split;
  options.epoch = common.epoch;
  options.weights = common.weights;
  options.device = common.device;
  options.threads = common.threads;
  options.tile = common.tile;
  options.output = common.output;
  SSD_ASSIGN_OR_RETURN(const ssd::TruthTrace trace, ssd::TraceTruth(experiment, options));
  std::cout << trace.text;
  if (!trace.picture.empty()) std::cerr << trace.picture << "\n";
  return absl::OkStatus();
}

absl::Status Visualize(Flags flags, const std::vector<std::string>& overrides) {
  ssd::VisualizationOptions& options = flags.visualization;
  if (!flags.run.empty()) {
    SSD_ASSIGN_OR_RETURN(const ssd::RunFolder folder,
                         ssd::RunFolder::Open(ssd::UserPath(flags.run)));
    if (flags.config.empty()) flags.config = folder.config();
    if (options.weights.empty()) options.weights = folder.best_model();
  }
  if (flags.config.empty()) {
    return absl::InvalidArgumentError("give --config=F or --run=DIR");
  }
  if (!flags.trace.empty() && !options.show.empty()) {
    return absl::InvalidArgumentError("--show and --trace do not go together; leave one out");
  }
  options.weights = ssd::UserPath(options.weights);
  options.output = ssd::UserPath(options.output);
  SSD_ASSIGN_OR_RETURN(
      const ssd::Experiment experiment,
      ssd::LoadExperiment(
          ssd::UserPath(flags.config), overrides, ssd::WorkingDirectory(),
          options.weights.empty() ? ssd::NetworkFrom::kConfig : ssd::NetworkFrom::kModelFile));
  if (!flags.trace.empty()) return Trace(experiment, flags);
  SSD_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                       ssd::RunVisualization(experiment, options));
  for (const std::string& file : files) std::cout << file << "\n";
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  ssd::VisualizationOptions& options = flags.visualization;
  ssd::CommandLine command_line(
      "visualize",
      "--config=F --output=DIR [--show=KINDS] | --config=F --trace=IMAGE:BOX "
      "[path.to.field=value ...]",
      "Draws an experiment's data and what its network makes of them, as PNG sheets, or tells one "
      "truth's life from its annotation to its detection.");
  command_line.Group("Experiment");
  command_line.Add("config", &flags.config, "F",
                   "Experiment file (protobuf text, ssd.Experiment). Default: the run's.");
  command_line.Add("run", &flags.run, "DIR",
                   "Run folder, whose best weights detect. Needed for detections.");
  command_line.Add("weights", &options.weights, "W", "Model file (best.pt), in place of a run's.");
  command_line.Group("What is shown");
  command_line.Add("show", &options.show, "KINDS",
                   "Of truth, anchors, positives, augmented, detections; separated by commas. "
                   "Default: all that can be.");
  command_line.Add("trace", &flags.trace, "IMAGE:BOX",
                   "One truth, as text: the image's file name or id, the box's number from 0.");
  command_line.Add("split", &options.split, "S",
                   "train or validation. Default: train, for detections validation.");
  command_line.Add("count", &options.count, "N", "Images a sheet, spread over the dataset.");
  command_line.Add("index", &options.index, "I,J,...",
                   "Images by their place in the dataset, from 0, in place of --count.");
  command_line.Add("epoch", &options.epoch, "N",
                   "Of random transforms; what is drawn is a function of seed, epoch and index.");
  command_line.Add("min_score", &options.min_score, "S",
                   "Least score of a detection that is shown, 0 to 1.");
  command_line.Group("Machine");
  command_line.Add("device", &options.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &options.threads, "N", "Threads of LibTorch; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("output", &options.output, "DIR",
                   "Folder for the pictures, made if it is not there; with --trace on request.");
  command_line.Add("columns", &options.columns, "N",
                   "Tiles a row; of augmented images, epochs of each.");
  command_line.Add("tile", &options.tile, "N", "Longest side of a tile in pixels.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    if (!flags.trace.empty()) {
      const absl::Status refused =
          command_line.RefuseGiven({"count", "index", "columns", "min_score"}, "with --trace");
      if (!refused.ok()) return ssd::ExitStatus(refused);
    } else if (!options.index.empty()) {
      const absl::Status refused = command_line.RefuseGiven({"count"}, "with --index");
      if (!refused.ok()) return ssd::ExitStatus(refused);
    }
    return ssd::ExitStatus(Visualize(flags, overrides));
  });
}
