#include "ssd/matchers/argmax_matcher.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/where.h>

#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

void ForceInTruthOrder(const ImageMatches& image) {
  for (size_t g = 0; g < image.best.size(); ++g) {
    const BestAnchor& best = image.best[g];
    if (best.iou > kLeastIou) image.matches[best.anchor] = image.rows[g];
  }
}

void ForceNone(const ImageMatches& /*image*/) {}

}  // namespace

absl::StatusOr<std::unique_ptr<Matcher>> ArgmaxMatcher::Create(const ArgmaxMatcherOptions& options,
                                                               const MatcherContext& /*context*/) {
  SSD_ASSIGN_OR_RETURN(const MatchRules rules, ReadMatchRules(options, "matcher.argmax."));
  return std::unique_ptr<Matcher>(new ArgmaxMatcher(rules, options.force_best()));
}

Tensor ArgmaxMatcher::Match(const Truth& truth, const Anchors& anchors) const {
  return MatchWithinBorder(anchors, rules_, [&](const Tensor& corners) {
    return truth.boxes.is_cpu() ? ArgmaxMatchOnCpu(truth, corners, rules_, force_best_)
                                : ArgmaxMatchByTensorOps(truth, corners, rules_, force_best_);
  });
}

Tensor ArgmaxMatchOnCpu(const Truth& truth, const Tensor& anchor_corners, const MatchRules& rules,
                        ArgmaxMatcherOptions::ForceBest force_best) {
  return MatchImagesOnCpu(
      truth, anchor_corners, rules,
      force_best == ArgmaxMatcherOptions::TRUTH_ORDER ? ForceInTruthOrder : ForceNone);
}

Tensor ArgmaxMatchByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                              const MatchRules& rules, ArgmaxMatcherOptions::ForceBest force_best) {
  const int64_t padded = truth.boxes.size(1);
  const int64_t size = anchor_corners.size(0);
  const at::TensorOptions options = truth.labels.options();
  if (padded == 0) return at::full({truth.boxes.size(0), size}, Matcher::kUnmatched, options);
  const TruthOverlaps overlaps = OverlapsByTensorOps(truth, anchor_corners, rules);
  if (force_best != ArgmaxMatcherOptions::TRUTH_ORDER) return overlaps.matches;

  const auto best = overlaps.iou.max(2);  // [B, G]
  const Tensor overlapping = (std::get<0>(best) > kLeastIou).unsqueeze(-1);
  const Tensor takes = std::get<1>(best)
                           .unsqueeze(-1)
                           .eq(at::arange(size, options))
                           .logical_and_(overlapping);  // [B, G, A]
  // The last truth in order is that of the highest row. A scatter would let any of them win.
  const Tensor row = at::arange(padded, options).view({padded, 1});
  const Tensor forced = at::where(takes, row, Matcher::kUnmatched).amax({1});
  return at::where(forced >= 0, forced, overlaps.matches);
}

SSD_REGISTER_MATCHER(ArgmaxMatcherOptions, ArgmaxMatcher);

}  // namespace ssd
