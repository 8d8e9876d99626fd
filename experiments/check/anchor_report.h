#ifndef EXPERIMENTS_CHECK_ANCHOR_REPORT_H_
#define EXPERIMENTS_CHECK_ANCHOR_REPORT_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/check/dataset_statistics.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "experiments/check/anchor_index.h"
#include "experiments/check/truth_matching.h"
#include "ssd/core/types.h"

namespace ssd {

// IoUs at which recall is told: 0.3, 0.4, ... 0.9.
inline constexpr int kRecallIous = 7;
inline constexpr double RecallIou(int i) { return (3 + i) / 10.0; }
inline constexpr int kHalf = 2;  // RecallIou(kHalf) is 0.5

// The share of truths that should reach an IoU of 0.5 with some anchor: the paper's matcher calls
// that positive (arXiv:1512.02325, section 2.2), and a truth below it is learnt by the one anchor
// that is forced upon it, if at all.
inline constexpr double kLeastAnchorRecall = 0.95;

// Bins of IoU in histograms, 0.05 each; an IoU of 1 is in the last.
inline constexpr int kIouBins = 20;
inline constexpr double IouBinMiddle(int bin) { return (bin + 0.5) / kIouBins; }

// How well anchors fit the truths of a group.
struct AnchorRecall {
  std::string name;
  int64_t truths = 0;
  double iou_sum = 0;          // of each truth's best IoU with any anchor: before forced matching
  double matched_iou_sum = 0;  // of its best IoU with an anchor that it was given; without: 0
  int64_t without_anchor = 0;  // truths that the matcher gives none: nothing learns them
  int64_t positives = 0;       // anchors given
  std::array<int64_t, kRecallIous> reached = {};  // truths with a best IoU of RecallIou(i) or more
  std::array<int64_t, kRecallIous> matched = {};  // the same of the anchors given

  // Counts a truth whose best IoU with any anchor is `iou`.
  void AddBest(float iou);

  // Shares of the truths; 0 of none.
  double mean_iou() const { return Share(iou_sum); }
  double mean_matched_iou() const { return Share(matched_iou_sum); }
  double recall(int i) const { return Share(static_cast<double>(reached[i])); }
  double matched_recall(int i) const { return Share(static_cast<double>(matched[i])); }

 private:
  double Share(double sum) const { return truths > 0 ? sum / static_cast<double>(truths) : 0; }
};

// One level's anchors, and what of all truths they would do alone.
struct AnchorLevelUse {
  FeatureSpec map;
  int64_t anchors = 0;
  int64_t per_cell = 0;
  int64_t positives = 0;    // over all truths
  int64_t best_truths = 0;  // truths whose best anchor is here
  std::array<int64_t, kRecallIous> reached = {};
};

// One of the boxes of a level's cells.
struct AnchorShapeUse {
  int64_t level = 0;  // from 0
  double width = 0;   // pixels of the view
  double height = 0;
  int64_t positives = 0;
  int64_t best_truths = 0;
};

// A truth that no anchor overlaps by 0.5.
struct HardTruth {
  TruthPlace place;
  double iou = 0;          // with its best anchor: before forced matching
  double matched_iou = 0;  // with the best anchor that it was given; without: 0
};

// What an experiment's anchors and matcher make of a dataset's truths. Crowds, difficult objects
// and what the view does not show are left out: nothing learns them.
struct AnchorReport {
  int64_t anchors = 0;
  int64_t left_out = 0;  // difficult or not in the view
  AnchorRecall all;
  std::array<AnchorRecall, kSizeClasses> sizes;  // by the size in the original
  std::vector<AnchorRecall> classes;             // label 1 first
  std::vector<AnchorLevelUse> levels;
  std::vector<AnchorShapeUse> shapes;  // level by level
  std::array<int64_t, kIouBins> best_ious = {};
  std::array<int64_t, kIouBins> matched_ious = {};  // of truths that have an anchor
  std::vector<int64_t> truths_by_positives;         // truths with 0, 1, 2, ... anchors
  std::vector<HardTruth> below_half;  // all whose best IoU is below 0.5, the lowest first

  // The median of anchors a truth; 0 of none.
  int64_t MedianPositives() const;
};

// `levels`, `per_cell` as in AnchorIndex. \error from the dataset.
absl::StatusOr<AnchorReport> ReportAnchors(const Dataset& dataset, const MatchedTruths& matched,
                                           const AnchorIndex& index,
                                           const std::vector<FeatureSpec>& levels,
                                           const std::vector<int64_t>& per_cell, ImageSize input);

// kLowAnchorRecall where fewer truths than kLeastAnchorRecall reach 0.5. `anchors` tell of
// `dataset`.
std::vector<DataProblem> FindAnchorProblems(const Dataset& dataset, const AnchorReport& anchors);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_ANCHOR_REPORT_H_
