#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "experiments/load_experiment.h"
#include "experiments/run_packing.h"
#include "ssd/core/status_macros.h"
#include "tools/command_line.h"
#include "tools/interrupt.h"

namespace {

struct Flags {
  std::string config, output, size, verify;
  std::string split = "train";
  ssd::PackOptions options;
};

absl::StatusOr<ssd::PackSummary> Pack(const Flags& flags, const std::vector<std::string>& overrides,
                                      const std::atomic<int>& interrupt) {
  ssd::PackOptions options = flags.options;
  if (!flags.size.empty()) {
    const std::vector<std::string> sides = absl::StrSplit(flags.size, 'x');
    if (sides.size() != 2 || !absl::SimpleAtoi(sides[0], &options.size.width) ||
        !absl::SimpleAtoi(sides[1], &options.size.height)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--size is '", flags.size, "'; want WxH in pixels, such as 300x300"));
    }
  }
  const bool shows_progress = isatty(STDERR_FILENO) != 0;
  options.go_on = [shows_progress, &interrupt](int64_t done, int64_t all) {
    if (shows_progress) {
      std::fprintf(stderr, "\rpacked %lld of %lld images%s", static_cast<long long>(done),
                   static_cast<long long>(all), done == all ? "\n" : "");
    }
    return interrupt == 0;
  };
  SSD_ASSIGN_OR_RETURN(
      const ssd::Experiment experiment,
      ssd::LoadExperiment(ssd::UserPath(flags.config), overrides, ssd::WorkingDirectory()));
  return ssd::RunPacking(experiment, flags.split, options, ssd::UserPath(flags.output));
}

}  // namespace

int main(int argc, char** argv) {
  const std::atomic<int>& interrupt = ssd::CatchInterrupts();
  Flags flags;
  bool json = false;
  ssd::CommandLine command_line(
      "pack", "--config=F --split=train|validation --output=FILE [path.to.field=value ...]",
      "Writes a dataset with its images into one file, which `packed { file: ... }` reads.");
  command_line.Group("What is packed");
  command_line.Add("config", &flags.config, "F",
                   "Experiment file (protobuf text, ssd.Experiment).");
  command_line.Add("split", &flags.split, "S",
                   "train or validation: which of its datasets; with subset and class map, without "
                   "transforms.");
  command_line.Group("Images (as their files are, unless these change their size)");
  command_line.Add("size", &flags.size, "WxH pixels", "Warp every image to this size.");
  command_line.Add("longest_side", &flags.options.longest_side, "N pixels",
                   "Reduce larger images to this longest side; 0: none.");
  command_line.Add("quality", &flags.options.quality, "Q",
                   "Of the JPEG that a resized image becomes, 1 to 100.");
  command_line.Group("Result");
  command_line.Add("output", &flags.output, "FILE", "The new file.");
  command_line.Add("verify", &flags.verify, "FILE",
                   "Pack nothing: compare all bytes of a packed file with the digests in it.");
  command_line.Add("json", &json, "Print one JSON document.");
  return ssd::RunCommand(command_line, argc, argv, [&](const std::vector<std::string>& overrides) {
    const bool resizes = !flags.size.empty() || flags.options.longest_side != 0;
    absl::Status refused;
    if (!flags.verify.empty()) {
      refused = command_line.RefuseGiven(
          {"config", "split", "size", "longest_side", "quality", "output"}, "with --verify");
    } else if (!resizes) {
      refused = command_line.RefuseGiven({"quality"}, "without --size or --longest_side");
    }
    if (!refused.ok()) return ssd::ExitStatus(refused);
    const std::string file = ssd::UserPath(flags.verify.empty() ? flags.output : flags.verify);
    const absl::StatusOr<ssd::PackSummary> summary =
        flags.verify.empty() ? Pack(flags, overrides, interrupt) : ssd::VerifyPackedFile(file);
    if (!summary.ok()) return ssd::ExitStatusOrSignal(summary.status());
    std::cout << (json ? ssd::PackJson(*summary, file) : ssd::PackText(*summary, file));
    return 0;
  });
}
