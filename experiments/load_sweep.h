#ifndef EXPERIMENTS_LOAD_SWEEP_H_
#define EXPERIMENTS_LOAD_SWEEP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "experiments/experiment.pb.h"
#include "experiments/sweep.pb.h"

namespace ssd {

// One run of a sweep.
struct SweepPoint {
  // "m=6,backbone=r18,seed=1": a valid folder name, unique in the sweep; also experiment.name.
  // Other characters than letters, digits and "+-._" become '_'.
  std::string name;
  std::vector<std::string> labels;  // of each axis, as written
  uint64_t seed = 0;
  Experiment experiment;  // resolved and valid
};

struct LoadedSweep {
  std::string name;  // the file's, without its extension
  Sweep sweep;
  std::vector<SweepPoint> points;  // the last axis moves faster than the first, seeds fastest
};

// Reads a sweep file (ssd.Sweep) and makes every combination of its axes' points and its seeds. A
// point is the base with, in this order, the sweep's `set`, `overrides`, its own `set` and its seed
// applied. Every point is loaded and validated, so that none fails after others have trained.
// \error as LoadExperiment, naming the point; InvalidArgument for axes or labels that are missing
// or double.
absl::StatusOr<LoadedSweep> LoadSweep(const std::string& path,
                                      absl::Span<const std::string> overrides,
                                      const std::string& working_directory);

}  // namespace ssd

#endif  // EXPERIMENTS_LOAD_SWEEP_H_
