#ifndef EXPERIMENTS_CHECK_CEILING_H_
#define EXPERIMENTS_CHECK_CEILING_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "data/check/network_view.h"
#include "data/dataset.h"
#include "experiments/check/truth_matching.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

class SsdDetector;

// Why a network that has learnt its targets perfectly still does not find a truth.
enum class LossReason {
  kOutOfView,       // data.validation's transforms cut it off
  kDifficult,       // no anchor learns it; coco and voc do not count it, others may
  kNoAnchor,        // no anchor overlaps it enough to be given to it
  kSharedAnchors,   // its best anchor was given to another truth, and it has no other
  kNotCoded,        // the box coder cannot say its box: too small, or beyond its limits
  kNotDetected,     // the post-processor drops it even where it is alone
  kSuppressed,      // by the box of another truth
  kCandidateLimit,  // other truths' candidates fill the post-processor's list
  kDetectionLimit,  // the image has more truths than detections are kept
  kNotExamined,     // lost in the post-processor; only so many are looked into
};
inline constexpr int kLossReasons = 10;

struct LostTruth {
  int64_t truth = 0;  // in MatchedTruths::truths
  LossReason reason = LossReason::kNotExamined;
  int64_t other = -1;  // the truth that took the anchor or suppressed it; -1: none alone
  double iou = 0;      // with that one, in the view
};

// The most that evaluation can give.
struct Ceiling {
  Metrics metrics;
  std::vector<LostTruth> lost;  // in the order of the truths
  std::array<int64_t, kLossReasons> reasons = {};

  // Difficult objects, which evaluators may or may not count, left out.
  int64_t lost_to_learn() const {
    return static_cast<int64_t>(lost.size()) - reasons[static_cast<int>(LossReason::kDifficult)];
  }
};

// Hands the truths to themselves: each anchor answers with the code of the truth that the matcher
// gave it and a score of nearly 1 for its class, every other anchor with background; then boxes are
// decoded, post-processed, led back to the original and judged. A truth is found if a detection of
// its class has an IoU of 0.95 with it in the view, one detection for one truth. `detector` is on
// the CPU, and `matched` made of its anchors and matcher. \error from the dataset or the evaluator.
absl::StatusOr<Ceiling> ComputeCeiling(const Dataset& dataset, const NetworkView& view,
                                       const MatchedTruths& matched, const SsdDetector& detector,
                                       const EvaluatorConfig& evaluator);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_CEILING_H_
