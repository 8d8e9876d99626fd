#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "experiments/load_experiment.h"
#include "experiments/load_sweep.h"
#include "experiments/run_sweep.h"
#include "experiments/run_training.h"
#include "ssd/report/sweep_table.h"
#include "tools/command_line.h"
#include "tools/interrupt.h"

namespace {

// What the process of one point does.
int TrainPoint(const std::string& config, const ssd::TrainingOptions& options) {
  const absl::StatusOr<ssd::Experiment> experiment =
      ssd::LoadExperiment(config, std::vector<std::string>(), options.working_directory);
  if (!experiment.ok()) return ssd::ExitStatus(experiment.status());
  const absl::StatusOr<ssd::TrainingResult> result = ssd::RunTraining(*experiment, options);
  if (!result.ok()) return ssd::ExitStatus(result.status());
  return result->record.status == "interrupted" ? 128 + options.stop->load() : 0;
}

int Sweep(const std::string& config, const std::vector<std::string>& overrides, bool dry_run,
          const ssd::SweepOptions& options) {
  const absl::StatusOr<ssd::LoadedSweep> sweep =
      ssd::LoadSweep(config, overrides, options.working_directory);
  if (!sweep.ok()) return ssd::ExitStatus(sweep.status());
  if (dry_run) {
    for (const ssd::SweepPoint& point : sweep->points) std::cout << point.name << "\n";
    return 0;
  }
  const absl::StatusOr<ssd::SweepOutcome> outcome = ssd::RunSweep(*sweep, options);
  if (!outcome.ok()) return ssd::ExitStatus(outcome.status());
  std::cout << ssd::SweepTableText(outcome->results);
  std::cerr << "sweep folder: " << outcome->folder << "\n";
  for (const std::string& point : outcome->unfinished) std::cerr << "not done: " << point << "\n";
  if (outcome->stopped) return 128 + options.stop->load();
  return outcome->unfinished.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string config;
  bool dry_run = false;
  int64_t train_point = 0;
  ssd::SweepOptions options;
  ssd::CommandLine command_line(
      "sweep", "--config=F [--output=DIR] [--resume] [path.to.field=value ...]",
      "Trains every point and seed of an ablation and tabulates mean and standard deviation.");
  command_line.Group("Sweep");
  command_line.Add("config", &config, "F", "Sweep file (protobuf text, ssd.Sweep).");
  command_line.Add("output", &options.output, "DIR",
                   "Folder for the points' run folders and the table; must not exist. Default: "
                   "runs/<name>, or the next number.");
  command_line.Add("resume", &options.resume, "Go on with what is not done yet.");
  command_line.Add("dry_run", &dry_run, "Check and list the points, train none.");
  command_line.Group("Machine");
  command_line.Add("jobs", &options.jobs, "N", "Points trained at the same time.");
  command_line.Add("device", &options.device, "D", "auto, cpu, cuda or cuda:N.");
  command_line.Add("threads", &options.threads, "N",
                   "Threads of LibTorch, shared by the jobs; 0: all cores.");
  command_line.Group("Internal");
  command_line.Add(
      "train_point", &train_point, "PID",
      "Train --config, an experiment, as a point of the sweep PID: how a sweep calls itself.");

  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    options.working_directory = ssd::WorkingDirectory();
    options.output = ssd::UserPath(options.output);
    options.stop = &ssd::CatchInterrupts();
    config = ssd::UserPath(config);
    if (train_point == 0) {
      options.command = {"/proc/self/exe", "--train_point=" + std::to_string(getpid())};
      return Sweep(config, overrides, dry_run, options);
    }
    // A point whose sweep is killed dies with it, also one that has only just begun: the sweep that
    // resumes starts it again.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != train_point) return 128 + SIGKILL;
    ssd::TrainingOptions training;
    training.output = options.output;
    training.resume = options.resume;
    training.device = options.device;
    training.threads = options.threads;
    training.working_directory = options.working_directory;
    training.command_line.assign(argv, argv + argc);
    training.stop = options.stop;
    return TrainPoint(config, training);
  });
}
