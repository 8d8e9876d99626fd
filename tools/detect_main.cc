#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "experiments/run_detection.h"
#include "experiments/run_folder.h"
#include "ssd/core/status_macros.h"
#include "tools/command_line.h"

namespace {

absl::Status Detect(const std::string& run, std::vector<std::string> inputs,
                    ssd::DetectionOptions options) {
  if (run.empty() == options.weights.empty()) {
    return absl::InvalidArgumentError("give either --run=DIR or --weights=W");
  }
  if (inputs.empty()) {
    return absl::InvalidArgumentError("no input; name image files, folders of them, or globs");
  }
  if (!run.empty()) {
    SSD_ASSIGN_OR_RETURN(const ssd::RunFolder folder, ssd::RunFolder::Open(ssd::UserPath(run)));
    options.weights = folder.best_model();
  }
  options.weights = ssd::UserPath(options.weights);
  options.output = ssd::UserPath(options.output);
  for (std::string& input : inputs) input = ssd::UserPath(input);
  SSD_ASSIGN_OR_RETURN(const std::vector<std::string> files, ssd::ImageFiles(inputs));
  SSD_ASSIGN_OR_RETURN(const ssd::DetectionSummary summary,
                       ssd::RunDetection(files, options, std::cout));
  std::fprintf(stderr, "%lld images, %lld detections, %.1f images/s in the network%s%s\n",
               static_cast<long long>(summary.images), static_cast<long long>(summary.detections),
               summary.network_seconds > 0 ? summary.images / summary.network_seconds : 0.0,
               summary.output.empty() ? "" : "; pictures in ", summary.output.c_str());
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  std::string run;
  ssd::DetectionOptions options;
  ssd::CommandLine command_line("detect", "--run=DIR [--output=DIR] INPUT...",
                                "Finds objects in images: files, folders or globs. Prints a JSON "
                                "line an image; with --output, draws too.");
  command_line.Group("Model");
  command_line.Add("run", &run, "DIR", "Run folder; its best weights are used.");
  command_line.Add("weights", &options.weights, "W", "Model file (best.pt), in place of a run.");
  command_line.Group("Machine");
  command_line.Add("device", &options.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &options.threads, "N", "Threads of LibTorch; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("min_score", &options.min_score, "S",
                   "Least score of a detection that is told, 0 to 1.");
  command_line.Add("output", &options.output, "DIR",
                   "New folder for drawn pictures; empty: none are drawn.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& inputs) {
    return ssd::ExitStatus(Detect(run, inputs, options));
  });
}
