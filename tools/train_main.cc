#include <iostream>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "experiments/run_training.h"
#include "ssd/eval/metrics_text.h"
#include "tools/command_line.h"
#include "tools/interrupt.h"

int main(int argc, char** argv) {
  std::string config;
  ssd::TrainingOptions options;
  bool json = false;

  ssd::CommandLine command_line(
      "train", "--config=F [--output=DIR] [--resume] [path.to.field=value ...]",
      "Trains the SSD that an experiment file describes, evaluates it and writes a report.");
  command_line.Group("Experiment");
  command_line.Add("config", &config, "F", "Experiment file (protobuf text, ssd.Experiment).");
  command_line.Add("output", &options.output, "DIR",
                   "Run folder; must not exist. Default: runs/<name>, or the next number.");
  command_line.Add("resume", &options.resume,
                   "Go on with the run folder named by --output, or with runs/<name>.");
  command_line.Group("Machine");
  command_line.Add("device", &options.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &options.threads, "N", "Threads of LibTorch; 0: all cores.");
  command_line.Group("Result");
  command_line.Add("json", &json, "Print the metrics as one JSON document.");

  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    options.working_directory = ssd::WorkingDirectory();
    options.output = ssd::UserPath(options.output);
    options.command_line.assign(argv, argv + argc);
    options.stop = &ssd::CatchInterrupts();
    absl::StatusOr<ssd::Experiment> experiment =
        ssd::LoadExperiment(ssd::UserPath(config), overrides, options.working_directory);
    if (!experiment.ok()) return ssd::ExitStatus(experiment.status());
    absl::StatusOr<ssd::TrainingResult> result = ssd::RunTraining(*experiment, options);
    if (!result.ok()) return ssd::ExitStatus(result.status());
    if (result->record.status == "interrupted") return 128 + options.stop->load();
    if (!result->metrics.values.empty()) {
      std::cout << (json ? ssd::MetricsJson(result->metrics) : ssd::MetricsTable(result->metrics));
    }
    std::cerr << "run folder: " << result->folder.path() << " (" << result->record.status << ")\n";
    return 0;
  });
}
