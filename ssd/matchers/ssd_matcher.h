#ifndef SSD_MATCHERS_SSD_MATCHER_H_
#define SSD_MATCHERS_SSD_MATCHER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "ssd/matchers/matcher.h"
#include "ssd/matchers/threshold_matching.h"

namespace ssd {

// The paper's matching (Liu et al., arXiv:1512.02325, section 2.2, "Matching strategy") by the
// rules of Caffe's MatchBBox:
//
//   1. As long as there are pairs of a free truth and a free anchor with IoU > 1e-6, the pair of
//      highest IoU is matched, one to one; ties go to the lowest anchor, then the lowest truth.
//   2. Every anchor left takes its truth of highest IoU (ties: the lowest) if that is >=
//      positive_iou.
//
// So each truth that overlaps a free anchor gets one, also where several truths want the same
// anchor; torchvision and others let the last truth take it (`argmax`). By default no anchor is
// kIgnored, and those over an ignored truth are background; negative_iou, ignore_overlap and
// ignore_cross_border change that (MatchRules).
//
//   matcher { ssd { positive_iou: 0.5 } }
class SsdMatcher final : public Matcher {
 public:
  // \error InvalidArgument as MakeMatchRules.
  static absl::StatusOr<std::unique_ptr<Matcher>> Create(const SsdMatcherOptions& options,
                                                         const MatcherContext& context);

  Tensor Match(const Truth& truth, const Anchors& anchors) const override;

 private:
  explicit SsdMatcher(const MatchRules& rules) : rules_(rules) {}

  MatchRules rules_;
};

// The two ways of Match within the border; equal results. truth as there, corners [A, 4] of the
// anchors.

// For the CPU: as MatchImagesOnCpu.
Tensor BipartiteMatchOnCpu(const Truth& truth, const Tensor& anchor_corners,
                           const MatchRules& rules);

// For any device, by tensor operations whose number depends on G alone, without a synchronisation
// with the host. Holds a few [B, G, A] int64 tensors at a time. Dies where A and G, each rounded up
// to a power of two, have a product above 2^33.
Tensor BipartiteMatchByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                                 const MatchRules& rules);

}  // namespace ssd

#endif  // SSD_MATCHERS_SSD_MATCHER_H_
