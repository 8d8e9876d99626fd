#ifndef EXPERIMENTS_CHECK_ANCHOR_SUGGESTION_H_
#define EXPERIMENTS_CHECK_ANCHOR_SUGGESTION_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "data/check/dataset_statistics.h"
#include "experiments/check/anchor_report.h"
#include "experiments/check/truth_matching.h"
#include "ssd/core/types.h"

namespace ssd {

// Anchors fitted to a dataset, and what they would gain.
struct AnchorSuggestion {
  std::string config;  // to paste into `model`: "anchor_generator { grid { ... } }"
  int64_t anchors = 0;
  // Of the truths that are learnt, before they are matched: AnchorRecall::AddBest.
  AnchorRecall all;
  std::array<AnchorRecall, kSizeClasses> sizes;  // by the size in the original
};

// As many boxes a cell as now, or fewer where some come out alike, on the same maps, whose widths
// and heights k-means over those of the truths has found (Redmon and Farhadi, arXiv:1612.08242,
// section 2, "Dimension Clusters"): the similarity of a truth and a cluster is their IoU, here at
// the mean distance of a truth from the nearest centre of the cluster's level, a quarter of a cell
// on each axis, so that coarse levels get what they can serve. They may be worse than the present
// ones, as what they reach tells. A function of its arguments alone. \error NotFound if there is no
// truth to learn.
absl::StatusOr<AnchorSuggestion> SuggestAnchors(const MatchedTruths& matched,
                                                absl::Span<const FeatureSpec> levels,
                                                absl::Span<const int64_t> per_cell,
                                                ImageSize input);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_ANCHOR_SUGGESTION_H_
