#ifndef EXPERIMENTS_TRACE_TRUTH_H_
#define EXPERIMENTS_TRACE_TRUTH_H_

#include <string>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"
#include "experiments/trace_options.h"

namespace ssd {

struct TruthTrace {
  std::string text;
  std::string picture;  // the file; empty: none was asked for
};

// The life of one truth (truth_life.h) in words (truth_life_text.h) and, where a folder is given,
// in pictures (truth_life_picture.h). \error naming flag, field or file, value and remedy.
absl::StatusOr<TruthTrace> TraceTruth(const Experiment& experiment, const TraceOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_TRACE_TRUTH_H_
