#include "experiments/check/check_report.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace ssd {

std::string ProblemKindName(ProblemKind kind) {
  switch (kind) {
    case ProblemKind::kUnreadableAnnotation:
      return "unreadable_annotation";
    case ProblemKind::kMissingAnnotation:
      return "missing_annotation";
    case ProblemKind::kMissingImage:
      return "missing_image";
    case ProblemKind::kBoxOutside:
      return "box_outside";
    case ProblemKind::kBoxEmpty:
      return "box_empty";
    case ProblemKind::kBoxInverted:
      return "box_inverted";
    case ProblemKind::kBoxNotFinite:
      return "box_not_finite";
    case ProblemKind::kUnknownLabel:
      return "unknown_label";
    case ProblemKind::kUnknownImage:
      return "unknown_image";
    case ProblemKind::kUnknownCategory:
      return "unknown_category";
    case ProblemKind::kDuplicateImageId:
      return "duplicate_image_id";
    case ProblemKind::kDuplicateCategory:
      return "duplicate_category";
    case ProblemKind::kDuplicateAnnotationId:
      return "duplicate_annotation_id";
    case ProblemKind::kCategoryHole:
      return "category_hole";
    case ProblemKind::kUnusedLabel:
      return "unused_label";
    case ProblemKind::kDuplicateBox:
      return "duplicate_box";
    case ProblemKind::kConflictingLabels:
      return "conflicting_labels";
    case ProblemKind::kBoxTiny:
      return "box_tiny";
    case ProblemKind::kBoxHuge:
      return "box_huge";
    case ProblemKind::kBoxExtremeShape:
      return "box_extreme_shape";
    case ProblemKind::kNoObjects:
      return "no_objects";
    case ProblemKind::kCrowdedImage:
      return "crowded_image";
    case ProblemKind::kRareLabel:
      return "rare_label";
    case ProblemKind::kSmallObjects:
      return "small_objects";
    case ProblemKind::kUnreadableImage:
      return "unreadable_image";
    case ProblemKind::kSizeMismatch:
      return "size_mismatch";
    case ProblemKind::kRotatedByExif:
      return "rotated_by_exif";
    case ProblemKind::kDuplicateImage:
      return "duplicate_image";
    case ProblemKind::kUniformImage:
      return "uniform_image";
    case ProblemKind::kLeak:
      return "leak";
    case ProblemKind::kAnnotationMissingForImage:
      return "annotation_missing_for_image";
    case ProblemKind::kMismatchedSplits:
      return "mismatched_splits";
    case ProblemKind::kLowAnchorRecall:
      return "low_anchor_recall";
  }
  return "unknown";
}

std::string SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kNote:
      return "note";
  }
  return "unknown";
}

std::string LossReasonName(LossReason reason) {
  switch (reason) {
    case LossReason::kOutOfView:
      return "out_of_view";
    case LossReason::kDifficult:
      return "difficult";
    case LossReason::kNoAnchor:
      return "no_anchor";
    case LossReason::kSharedAnchors:
      return "shared_anchors";
    case LossReason::kNotCoded:
      return "not_coded";
    case LossReason::kNotDetected:
      return "not_detected";
    case LossReason::kSuppressed:
      return "suppressed";
    case LossReason::kCandidateLimit:
      return "candidate_limit";
    case LossReason::kDetectionLimit:
      return "detection_limit";
    case LossReason::kNotExamined:
      return "not_examined";
  }
  return "unknown";
}

std::string LossReasonText(LossReason reason) {
  switch (reason) {
    case LossReason::kOutOfView:
      return "cut off by data.validation's transforms";
    case LossReason::kDifficult:
      return "difficult: no anchor learns it, and coco and voc do not count it";
    case LossReason::kNoAnchor:
      return "the matcher gives it no anchor";
    case LossReason::kSharedAnchors:
      return "its best anchor was given to another truth, and it has no other";
    case LossReason::kNotCoded:
      return "the box coder cannot say its box";
    case LossReason::kNotDetected:
      return "the post-processor drops it even where it is alone";
    case LossReason::kSuppressed:
      return "suppressed by the box of another truth";
    case LossReason::kCandidateLimit:
      return "other candidates fill the post-processor's list";
    case LossReason::kDetectionLimit:
      return "more truths than the post-processor keeps detections";
    case LossReason::kNotExamined:
      return "lost in the post-processor, not looked into";
  }
  return "unknown";
}

int64_t CountOf(const std::vector<DataProblem>& problems, Severity severity) {
  return std::count_if(problems.begin(), problems.end(), [severity](const DataProblem& problem) {
    return problem.severity == severity;
  });
}

int64_t CountErrors(const CheckReport& report) {
  return CountOf(report.train.problems, Severity::kError) +
         CountOf(report.validation.problems, Severity::kError);
}

bool HasFailed(const CheckReport& report) {
  const bool probe_failed = report.overfit.has_value() && !report.overfit->has_passed;
  return probe_failed || CountErrors(report) > 0;
}

UnusedAnchors FindUnused(const AnchorReport& anchors) {
  UnusedAnchors unused;
  if (anchors.all.truths == 0) return unused;
  for (size_t k = 0; k < anchors.levels.size(); ++k) {
    if (anchors.levels[k].positives == 0) unused.levels.push_back(static_cast<int64_t>(k) + 1);
  }
  for (const AnchorShapeUse& shape : anchors.shapes) {
    if (shape.positives == 0 && anchors.levels[shape.level].positives > 0) ++unused.shapes;
  }
  return unused;
}

std::string UnusedText(const AnchorReport& anchors) {
  const UnusedAnchors unused = FindUnused(anchors);
  std::string text;
  if (!unused.levels.empty()) {
    const bool is_one = unused.levels.size() == 1;
    absl::StrAppend(&text, is_one ? "Level " : "Levels ", absl::StrJoin(unused.levels, ", "),
                    is_one ? " answers" : " answer", " for no truth.");
  }
  if (unused.shapes > 0) {
    absl::StrAppend(&text, text.empty() ? "" : " ", unused.shapes,
                    unused.shapes == 1 ? " shape" : " shapes",
                    unused.levels.empty() ? "" : " of other levels",
                    unused.shapes == 1 ? " answers" : " answer", " for no truth.");
  }
  return text;
}

namespace {

bool LosesTruths(const AnchorSuggestion& suggestion, const AnchorReport& present) {
  const auto lost = static_cast<double>(present.all.reached[kHalf] - suggestion.all.reached[kHalf]);
  return lost > kMostAnchorLoss * static_cast<double>(present.all.truths);
}

}  // namespace

bool IsWorthIt(const AnchorSuggestion& suggestion, const AnchorReport& present) {
  if (LosesTruths(suggestion, present)) return false;
  return suggestion.all.mean_iou() - present.all.mean_iou() >= kLeastAnchorGain ||
         suggestion.all.recall(kHalf) - present.all.recall(kHalf) >= kLeastAnchorGain;
}

std::string SuggestionVerdict(const AnchorSuggestion& suggestion, const AnchorReport& present) {
  std::string verdict;
  const auto compare = [&verdict](const std::string& which, const AnchorRecall& fitted,
                                  const AnchorRecall& now) {
    if (fitted.reached[kHalf] >= now.reached[kHalf]) return;
    absl::StrAppendFormat(&verdict, "%sFewer %struths reach 0.5: %d of %d, now %d.",
                          verdict.empty() ? "" : " ", which, fitted.reached[kHalf], fitted.truths,
                          now.reached[kHalf]);
  };
  compare("", suggestion.all, present.all);
  for (int i = 0; i < kSizeClasses; ++i) {
    compare(absl::StrCat(kSizeClassNames[i], " "), suggestion.sizes[i], present.sizes[i]);
  }
  if (!IsWorthIt(suggestion, present)) {
    absl::StrAppend(&verdict, verdict.empty() ? "" : " ",
                    LosesTruths(suggestion, present)
                        ? "They reach fewer truths and are not shown."
                        : "They gain too little to change yours and are not shown.");
  }
  return verdict;
}

}  // namespace ssd
