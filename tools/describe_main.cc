#include <iostream>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "experiments/run_description.h"
#include "tools/command_line.h"

int main(int argc, char** argv) {
  std::string config;
  std::string anchors;
  bool json = false;
  ssd::CommandLine command_line("describe", "--config=F [path.to.field=value ...]",
                                "Shows an experiment's resolved config, its layers, feature maps "
                                "and anchors.");
  command_line.Group("Experiment");
  command_line.Add("config", &config, "F", "Experiment file (protobuf text, ssd.Experiment).");
  command_line.Group("Result");
  command_line.Add("json", &json, "Print one JSON document.");
  command_line.Add("anchors", &anchors, "FILE",
                   "Write the default boxes there, [A, 4] (cx, cy, w, h) as shares of the input: a "
                   ".npy or a .safetensors file, which anchor_generator.from_file reads.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    const absl::StatusOr<ssd::Experiment> experiment =
        ssd::LoadExperiment(ssd::UserPath(config), overrides, ssd::WorkingDirectory());
    if (!experiment.ok()) return ssd::ExitStatus(experiment.status());
    const absl::StatusOr<ssd::Description> description =
        ssd::DescribeExperiment(*experiment, ssd::UserPath(anchors));
    if (!description.ok()) return ssd::ExitStatus(description.status());
    std::cout << (json ? description->json : description->text);
    return 0;
  });
}
