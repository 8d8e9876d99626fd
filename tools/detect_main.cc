#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "experiments/run_detection.h"
#include "experiments/run_evaluation.h"
#include "experiments/run_folder.h"
#include "ssd/core/plural.h"
#include "ssd/core/status_macros.h"
#include "tools/command_line.h"
#include "tools/interrupt.h"

namespace {

struct Flags {
  std::string run, config, data;
  ssd::DetectionOptions detection;
};

// "1 image, 2 detections".
std::string Counts(const ssd::DetectionSummary& summary) {
  return absl::StrCat(ssd::Plural(summary.images, "image"), ", ",
                      ssd::Plural(summary.detections, "detection"));
}

absl::Status DetectInImages(const Flags& flags, std::vector<std::string> inputs) {
  if (!flags.config.empty()) {
    return absl::InvalidArgumentError("--config is for --data alone; leave it out");
  }
  if (inputs.empty()) {
    return absl::InvalidArgumentError("no input; name image files, folders of them, or globs");
  }
  for (std::string& input : inputs) input = ssd::UserPath(input);
  SSD_ASSIGN_OR_RETURN(const std::vector<std::string> files, ssd::ImageFiles(inputs));
  SSD_ASSIGN_OR_RETURN(const ssd::DetectionSummary summary,
                       ssd::RunDetection(files, flags.detection, std::cout));
  std::fprintf(stderr, "%s, %.1f images/s in the network%s%s\n", Counts(summary).c_str(),
               summary.seconds > 0 ? summary.images / summary.seconds : 0.0,
               summary.output.empty() ? "" : "; pictures in ", summary.output.c_str());
  if (summary.unreadable_images == 0) return absl::OkStatus();
  return absl::AbortedError(
      absl::StrCat(summary.unreadable_images, " of ", files.size(), " images cannot be read"));
}

absl::Status DetectInDataset(const Flags& flags, const std::vector<std::string>& overrides) {
  if (flags.config.empty()) {
    return absl::InvalidArgumentError("--data needs --run=DIR, or --config=F and --weights=W");
  }
  SSD_ASSIGN_OR_RETURN(
      const ssd::Experiment experiment,
      ssd::LoadExperimentToEvaluate(flags.config, overrides, flags.data, ssd::WorkingDirectory()));
  SSD_ASSIGN_OR_RETURN(const ssd::DetectionSummary summary,
                       ssd::RunDatasetDetection(experiment, flags.detection));
  std::fprintf(stderr, "%s, %.1f images/s\n", Counts(summary).c_str(),
               summary.seconds > 0 ? summary.images / summary.seconds : 0.0);
  std::cout << summary.output << "/detections.json\n";
  return absl::OkStatus();
}

absl::Status Detect(Flags flags, const std::vector<std::string>& positional) {
  ssd::DetectionOptions& detection = flags.detection;
  if (flags.run.empty() == detection.weights.empty()) {
    return absl::InvalidArgumentError("give either --run=DIR or --weights=W");
  }
  flags.config = ssd::UserPath(flags.config);
  detection.weights = ssd::UserPath(detection.weights);
  detection.output = ssd::UserPath(detection.output);
  if (!flags.run.empty()) {
    SSD_ASSIGN_OR_RETURN(const ssd::RunFolder folder,
                         ssd::RunFolder::Open(ssd::UserPath(flags.run)));
    detection.weights = folder.best_model();
    if (!flags.data.empty() && flags.config.empty()) flags.config = folder.config();
  }
  return flags.data.empty() ? DetectInImages(flags, positional)
                            : DetectInDataset(flags, positional);
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  ssd::DetectionOptions& detection = flags.detection;
  detection.stop = &ssd::CatchInterrupts();
  ssd::CommandLine command_line(
      "detect",
      "--run=DIR [--output=DIR] INPUT... | --run=DIR --data=TEXT --output=DIR "
      "[path.to.field=value ...]",
      "Finds objects in images: files, folders or globs, or the images of a dataset. Prints a JSON "
      "line an image, and with --output draws too; of a dataset, writes COCO results.");
  command_line.Group("Model");
  command_line.Add("run", &flags.run, "DIR", "Run folder; its best weights are used.");
  command_line.Add("weights", &detection.weights, "W", "Model file (best.pt), in place of a run.");
  command_line.Group("Data");
  command_line.Add("data", &flags.data, "TEXT",
                   "Dataset in place of INPUTs, which needs no truths: 'coco { annotations: "
                   "\"image_info_test2017.json\" images: \"test2017\" }'. All detections go to "
                   "detections.json in --output.");
  command_line.Add(
      "config", &flags.config, "F",
      "Experiment file for --data: transforms, loader, precision. Default: the run's.");
  command_line.Group("Machine");
  command_line.Add("device", &detection.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &detection.threads, "N", "Threads of LibTorch; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("min_score", &detection.min_score, "S",
                   "Least score of a detection that is told of INPUTs, 0 to 1.");
  command_line.Add("output", &detection.output, "DIR",
                   "New folder for drawn pictures (empty: none are drawn) or detections.json.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& positional) {
    if (!flags.data.empty()) {
      const absl::Status refused = command_line.RefuseGiven({"min_score"}, "with --data");
      if (!refused.ok()) return ssd::ExitStatus(refused);
    }
    return ssd::ExitStatusOrSignal(Detect(flags, positional));
  });
}
