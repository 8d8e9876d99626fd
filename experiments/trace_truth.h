#ifndef EXPERIMENTS_TRACE_TRUTH_H_
#define EXPERIMENTS_TRACE_TRUTH_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"

namespace ssd {

struct TraceOptions {
  // IMAGE:BOX: the image's file name, its last part, or its id; the box's place among the image's
  // objects, from 0.
  std::string truth;
  std::string split = "train";  // or "validation": whose image it is
  int64_t epoch = 0;            // of random transforms; >= 0
  std::string weights;          // a model file; empty: the trace ends with the matching
  std::string device = "auto";
  int64_t threads = 0;
  // Longest side of a picture in pixels; in [32, 4096].
  int64_t tile = 400;
  // A folder for trace.png, made if it is not there; empty: no picture.
  std::string output;
};

struct TruthTrace {
  std::string text;
  std::string picture;  // the file; empty: none was asked for
};

// The life of one truth:
//
//   where its annotation stands; transform by transform, at (experiment.seed, epoch, index), its
//   box, until it is dropped; the default boxes that answer for it, by their IoU or forced; and
//   with weights what these cost (LossDetail, before normalisation), how the network, shown the
//   image as data.validation's transforms make it, scores it, which boxes are found on it, and what
//   became of the others: which detection suppressed them, or which threshold cut them.
//
// The network runs in evaluation mode, also for the loss. It sees the image once
// (evaluator.views is not used).
// \error naming flag, field or file, value and remedy.
absl::StatusOr<TruthTrace> TraceTruth(const Experiment& experiment, const TraceOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_TRACE_TRUTH_H_
