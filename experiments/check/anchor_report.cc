#include "experiments/check/anchor_report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "data/check/dataset_problems.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Thresholds as IoUs are: float32.
constexpr float Threshold(int i) { return static_cast<float>(RecallIou(i)); }

void AddTo(AnchorRecall& group, const ViewTruth& truth) {
  group.AddBest(truth.best_iou);
  group.matched_iou_sum += truth.matched_iou;
  group.positives += truth.num_positives;
  if (truth.num_positives == 0) ++group.without_anchor;
  for (int i = 0; i < kRecallIous; ++i) {
    group.matched[i] += truth.matched_iou >= Threshold(i) ? 1 : 0;
  }
}

int BinOf(float iou) {
  return std::clamp(static_cast<int>(iou * static_cast<float>(kIouBins)), 0, kIouBins - 1);
}

}  // namespace

void AnchorRecall::AddBest(float iou) {
  ++truths;
  iou_sum += iou;
  for (int i = 0; i < kRecallIous; ++i) reached[i] += iou >= Threshold(i) ? 1 : 0;
}

int64_t AnchorReport::MedianPositives() const {
  int64_t below = 0;
  for (size_t i = 0; i < truths_by_positives.size(); ++i) {
    below += truths_by_positives[i];
    if (2 * below >= all.truths) return static_cast<int64_t>(i);
  }
  return 0;
}

absl::StatusOr<AnchorReport> ReportAnchors(const Dataset& dataset, const MatchedTruths& matched,
                                           const AnchorIndex& index,
                                           const std::vector<FeatureSpec>& levels,
                                           const std::vector<int64_t>& per_cell, ImageSize input) {
  AnchorReport report;
  report.anchors = index.num_anchors();
  for (int i = 0; i < kSizeClasses; ++i) report.sizes[i].name = kSizeClassNames[i];
  for (const std::string& name : dataset.labels().names) {
    report.classes.emplace_back().name = name;
  }
  for (size_t k = 0; k < levels.size(); ++k) {
    AnchorLevelUse& level = report.levels.emplace_back();
    level.map = levels[k];
    level.per_cell = per_cell[k];
    level.anchors = levels[k].height * levels[k].width * per_cell[k];
  }
  for (const AnchorShape& shape : index.shapes()) {
    AnchorShapeUse& use = report.shapes.emplace_back();
    use.level = shape.level;
    use.width = static_cast<double>(shape.width) * static_cast<double>(input.width);
    use.height = static_cast<double>(shape.height) * static_cast<double>(input.height);
  }

  TruthPlaces places(dataset, input);
  for (size_t t = 0; t < matched.truths.size(); ++t) {
    const ViewTruth& truth = matched.truths[t];
    if (!truth.is_learnt()) {
      ++report.left_out;
      continue;
    }
    AddTo(report.all, truth);
    AddTo(report.sizes[truth.size_class], truth);
    AddTo(report.classes[truth.label - 1], truth);
    ++report.best_ious[BinOf(truth.best_iou)];
    if (truth.num_positives > 0) ++report.matched_ious[BinOf(truth.matched_iou)];
    std::vector<int64_t>& by_positives = report.truths_by_positives;
    by_positives.resize(
        std::max(by_positives.size(), static_cast<size_t>(truth.num_positives) + 1));
    ++by_positives[truth.num_positives];
    for (int64_t k = 0; k < matched.levels; ++k) {
      const float iou = matched.level_iou[t * matched.levels + k];
      for (int i = 0; i < kRecallIous; ++i) {
        report.levels[k].reached[i] += iou >= Threshold(i) ? 1 : 0;
      }
    }
    if (truth.best_anchor >= 0) {
      AnchorShapeUse& shape = report.shapes[index.ShapeOf(truth.best_anchor)];
      ++shape.best_truths;
      ++report.levels[shape.level].best_truths;
    }
    for (const int32_t anchor : matched.PositivesOf(truth)) {
      AnchorShapeUse& shape = report.shapes[index.ShapeOf(anchor)];
      ++shape.positives;
      ++report.levels[shape.level].positives;
    }
    if (truth.best_iou >= Threshold(kHalf)) continue;
    HardTruth& entry = report.below_half.emplace_back();
    SSD_ASSIGN_OR_RETURN(entry.place, places.Of(truth));
    entry.iou = truth.best_iou;
    entry.matched_iou = truth.matched_iou;
  }
  std::stable_sort(report.below_half.begin(), report.below_half.end(),
                   [](const HardTruth& a, const HardTruth& b) { return a.iou < b.iou; });
  return report;
}

std::vector<DataProblem> FindAnchorProblems(const Dataset& dataset, const AnchorReport& anchors) {
  const AnchorRecall& all = anchors.all;
  if (all.truths == 0 || all.recall(kHalf) >= kLeastAnchorRecall) return {};
  return {{Severity::kWarning, ProblemKind::kLowAnchorRecall, AnnotationRoot(dataset), 0,
           absl::StrFormat("only %d of %d truths have an anchor at an IoU of 0.5 or more, less "
                           "than %g %%: give the anchors other scales, aspect ratios or levels",
                           all.reached[kHalf], all.truths, 100 * kLeastAnchorRecall)}};
}

}  // namespace ssd
