#include <iostream>
#include <string>
#include <vector>

#include "experiments/check/check_json.h"
#include "experiments/check/check_page.h"
#include "experiments/check/check_report.h"
#include "experiments/check/check_text.h"
#include "experiments/load_experiment.h"
#include "experiments/run_check.h"
#include "ssd/core/file.h"
#include "tools/command_line.h"

int main(int argc, char** argv) {
  std::string config;
  std::string output = "check.html";
  bool json = false, no_images = false;
  ssd::CheckOptions options;
  ssd::CommandLine command_line(
      "check", "--config=F [--overfit=8] [path.to.field=value ...]",
      "Looks for what is wrong with an experiment's data, and whether its anchors can learn them. "
      "Ends with exit status 1 where it finds an error, or the images of --overfit are not "
      "learnt.");
  command_line.Group("Experiment");
  command_line.Add("config", &config, "F", "Experiment file (protobuf text, ssd.Experiment).");
  command_line.Group("What is looked at");
  command_line.Add("no_images", &no_images,
                   "Annotations alone: read no image, look for no duplicates and leaks.");
  command_line.Add("overfit", &options.overfit, "N images",
                   "Train on so many images, at most 1000, until they are learnt by heart; 0: do "
                   "not.");
  command_line.Group("Machine");
  command_line.Add("device", &options.device, "D", "auto, cpu, cuda or cuda:N, for --overfit.");
  command_line.Add("threads", &options.threads, "N", "Threads; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("output", &output, "FILE", "The report as a page; empty: none is written.");
  command_line.Add("json", &json, "Print one JSON document.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    const absl::StatusOr<ssd::Experiment> experiment =
        ssd::LoadExperiment(ssd::UserPath(config), overrides, ssd::WorkingDirectory());
    if (!experiment.ok()) return ssd::ExitStatus(experiment.status());
    options.read_images = !no_images;
    const absl::StatusOr<ssd::CheckReport> report = ssd::RunCheck(*experiment, options);
    if (!report.ok()) return ssd::ExitStatus(report.status());
    std::cout << (json ? ssd::CheckJson(*report) : ssd::CheckText(*report));
    if (!output.empty()) {
      const std::string path = ssd::UserPath(output);
      const absl::Status written = ssd::WriteFileAtomically(path, ssd::CheckPage(*report));
      if (!written.ok()) return ssd::ExitStatus(written);
      std::cerr << "report: " << path << "\n";
    }
    return ssd::HasFailed(*report) ? 1 : 0;
  });
}
