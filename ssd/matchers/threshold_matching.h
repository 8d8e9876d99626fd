#ifndef SSD_MATCHERS_THRESHOLD_MATCHING_H_
#define SSD_MATCHERS_THRESHOLD_MATCHING_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/boxes.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.h"

// What matchers have in common: the IoU of every anchor with every truth, and what becomes of an
// anchor by its IoUs alone. Each matcher then forces pairs of its own upon that. Both ways of it,
// loops for the CPU and tensor operations for any device, give equal results.
namespace ssd {

// Caffe's: a truth and an anchor up to here do not overlap, and are never forced upon each other.
inline constexpr float kLeastIou = 1e-6f;

// By its highest IoU with a truth that may be matched (label > 0, not ignored; ties: the lowest
// row) an anchor is that truth's at positive_iou or more, kIgnored from negative_iou to there, and
// kUnmatched below. An anchor that is no truth's is kIgnored if ignore_overlap of its area or more
// lies in one ignored truth (the proto names the sources).
struct MatchRules {
  float positive_iou = 0.5f;
  float negative_iou = 0.5f;
  float ignore_overlap = std::numeric_limits<float>::infinity();  // none
  bool ignore_cross_border = false;

  bool ignores_overlap() const { return ignore_overlap <= 1; }
};

// \error InvalidArgument naming the field, whose path begins with `field`, if positive_iou or
// ignore_overlap is not in (0, 1] or negative_iou not in (0, positive_iou].
absl::StatusOr<MatchRules> MakeMatchRules(double positive_iou, std::optional<double> negative_iou,
                                          std::optional<double> ignore_overlap,
                                          bool ignore_cross_border, absl::string_view field);

// The rules of a matcher's options.
template <typename Options>
absl::StatusOr<MatchRules> ReadMatchRules(const Options& options, absl::string_view field) {
  const auto if_set = [](bool set, double value) {
    return set ? std::optional<double>(value) : std::nullopt;
  };
  return MakeMatchRules(options.positive_iou(),
                        if_set(options.has_negative_iou(), options.negative_iou()),
                        if_set(options.has_ignore_overlap(), options.ignore_overlap()),
                        options.ignore_cross_border(), field);
}

// `match` of the anchors' corners [A, 4]. Under ignore_cross_border those that reach beyond [0, 1]
// have no area there, so that they overlap nothing, and are kIgnored in the result. No gradient.
Tensor MatchWithinBorder(const Anchors& anchors, const MatchRules& rules,
                         const std::function<Tensor(const Tensor& anchor_corners)>& match);

// The anchors' corners and areas, one array each, for loops over memory.
class AnchorArrays {
 public:
  // Anchors per turn of the loops, whose scratch then stays in the first-level cache.
  static constexpr int64_t kBlock = 512;

  // corners: [A, 4] f32 on the CPU.
  explicit AnchorArrays(const Tensor& corners);

  int64_t size() const { return size_; }

  // iou[i] = the truth's IoU with anchor begin + i, i < count; returns the largest.
  float IouWith(const Corners& truth, int64_t begin, int64_t count, float* iou) const;

  // share[i] = the share of anchor begin + i that lies in the truth, i < count; returns the
  // largest.
  float CoverageBy(const Corners& truth, int64_t begin, int64_t count, float* share) const;

 private:
  std::vector<float> x0_, y0_, x1_, y1_, area_;
  int64_t size_;
};

// A truth's anchor of highest IoU (ties: the lowest); none overlaps it if iou <= kLeastIou.
struct BestAnchor {
  float iou = 0;
  int64_t anchor = 0;
};

// One image, matched by the rules.
struct ImageMatches {
  const AnchorArrays& anchors;
  const std::vector<Corners>& truths;   // those that may be matched, in order
  const std::vector<int64_t>& rows;     // theirs in the padded truth
  const std::vector<BestAnchor>& best;  // theirs
  int64_t* matches;                     // [A], for a matcher to force its pairs upon
};

// Matches by the rules, then calls `force` for each image that has a truth that may be matched, on
// several threads. Parallel over images; never builds [G, A] and skips padding.
Tensor MatchImagesOnCpu(const Truth& truth, const Tensor& anchor_corners, const MatchRules& rules,
                        const std::function<void(const ImageMatches&)>& force);

struct TruthOverlaps {
  Tensor iou;      // [B, G, A] f32; -1 in rows that are never matched
  Tensor matches;  // [B, A] i64, by the rules
};

// On any device, without a synchronisation with the host. G > 0.
TruthOverlaps OverlapsByTensorOps(const Truth& truth, const Tensor& anchor_corners,
                                  const MatchRules& rules);

}  // namespace ssd

#endif  // SSD_MATCHERS_THRESHOLD_MATCHING_H_
