#ifndef SSD_MATCHERS_ARGMAX_MATCHER_H_
#define SSD_MATCHERS_ARGMAX_MATCHER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "ssd/matchers/matcher.h"
#include "ssd/matchers/threshold_matching.h"

namespace ssd {

// Matching by the highest IoU, as torchvision's SSDMatcher, amdegroot, lufficc, NVIDIA and
// mmdetection's MaxIoUAssigner have it:
//
//   1. Every anchor takes its truth of highest IoU (ties: the lowest) if that is >= positive_iou.
//   2. With force_best: TRUTH_ORDER, each truth in order takes its anchor of highest IoU (ties: the
//      lowest), whichever truth has it.
//
// A truth loses its anchor to a later one that has the same best anchor, and may then be left with
// none; `ssd` gives each its own. A truth is not forced upon an anchor that it does not overlap
// (IoU > 1e-6); torchvision forces it upon the first. negative_iou, ignore_overlap and
// ignore_cross_border: MatchRules.
//
//   matcher { argmax { positive_iou: 0.5 force_best: TRUTH_ORDER } }
class ArgmaxMatcher final : public Matcher {
 public:
  // \error InvalidArgument as MakeMatchRules.
  static absl::StatusOr<std::unique_ptr<Matcher>> Create(const ArgmaxMatcherOptions& options,
                                                         const MatcherContext& context);

  Tensor Match(const Truth& truth, const Anchors& anchors) const override;

 private:
  ArgmaxMatcher(const MatchRules& rules, ArgmaxMatcherOptions::ForceBest force_best)
      : rules_(rules), force_best_(force_best) {}

  MatchRules rules_;
  ArgmaxMatcherOptions::ForceBest force_best_;
};

// The two ways of Match within the border; equal results. truth as there, corners [A, 4] of the
// anchors.

// For the CPU: as MatchImagesOnCpu.
Tensor ArgmaxMatchOnCpu(const Truth& truth, const Tensor& anchor_corners, const MatchRules& rules,
                        ArgmaxMatcherOptions::ForceBest force_best);

// For any device, by tensor operations, without a synchronisation with the host. Holds a few
// [B, G, A] tensors at a time.
Tensor ArgmaxMatchByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                              const MatchRules& rules, ArgmaxMatcherOptions::ForceBest force_best);

}  // namespace ssd

#endif  // SSD_MATCHERS_ARGMAX_MATCHER_H_
