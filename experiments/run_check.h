#ifndef EXPERIMENTS_RUN_CHECK_H_
#define EXPERIMENTS_RUN_CHECK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "experiments/check/check_report.h"
#include "experiments/experiment.pb.h"

namespace ssd {

struct CheckOptions {
  // Reads and decodes every image, too; otherwise only annotations.
  bool read_images = true;
  // Images of the overfit probe (overfit_probe.h), in [0, 1000]; 0: none.
  int64_t overfit = 0;
  // Of the overfit probe.
  std::string device = "auto";
  int64_t threads = 0;  // 0: all cores
};

// Looks for what is wrong with the data of `experiment`, and whether its anchors, matcher, box
// coder and post-processor can do justice to them. Faults of the data are in the report. \error
// naming field or file where there is nothing to report on: a config that is wrong, data that are
// not there or have no class.
absl::StatusOr<CheckReport> RunCheck(const Experiment& experiment, const CheckOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_CHECK_H_
