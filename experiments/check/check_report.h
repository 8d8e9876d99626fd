#ifndef EXPERIMENTS_CHECK_CHECK_REPORT_H_
#define EXPERIMENTS_CHECK_CHECK_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/check/dataset_statistics.h"
#include "data/data_problem.h"
#include "experiments/check/anchor_report.h"
#include "experiments/check/anchor_suggestion.h"
#include "experiments/check/ceiling.h"
#include "experiments/check/overfit_probe.h"
#include "experiments/check/truth_matching.h"

namespace ssd {

// A LostTruth with the names that people know it by.
struct NamedLoss {
  TruthPlace place;
  LossReason reason = LossReason::kNotExamined;
  std::optional<TruthPlace> other;
  double iou = 0;  // with the other
};

// What `check` finds out about one dataset.
struct DatasetCheck {
  std::string name;  // "train", "validation"
  DatasetStatistics statistics;
  std::vector<DataProblem> problems;  // the most severe first, then by kind, in the data's order
  AnchorReport anchors;
  Ceiling ceiling;
  std::vector<NamedLoss> losses;  // all of ceiling.lost, reason by reason
};

// What `check` finds out about an experiment.
struct CheckReport {
  std::string title;  // the experiment's name
  DatasetCheck train;
  DatasetCheck validation;
  std::optional<AnchorSuggestion> suggestion;  // from the training data
  std::optional<OverfitOutcome> overfit;
  bool has_read_images = false;
  int64_t images_read = 0;
};

// "box_outside".
std::string ProblemKindName(ProblemKind kind);
// "error", "warning", "note".
std::string SeverityName(Severity severity);
// "shared_anchors".
std::string LossReasonName(LossReason reason);
// "its best anchor was given to another truth, and it has no other".
std::string LossReasonText(LossReason reason);

int64_t CountOf(const std::vector<DataProblem>& problems, Severity severity);
// Errors of both datasets.
int64_t CountErrors(const CheckReport& report);
// An error in the data, or an overfit probe that was not passed: `check` ends with status 1.
bool HasFailed(const CheckReport& report);

// The levels, from 1, that answer for no truth, and the number of shapes on the other levels that
// do not.
struct UnusedAnchors {
  std::vector<int64_t> levels;
  int64_t shapes = 0;
};
UnusedAnchors FindUnused(const AnchorReport& anchors);

// "Level 4 is never used; neither are 3 shapes of other levels." Empty if all are used.
std::string UnusedText(const AnchorReport& anchors);

// Whether the suggested anchors are worth a change, and therefore shown: recall at IoU 0.5 loses at
// most kMostAnchorLoss, and it or the mean IoU gains kLeastAnchorGain or more.
inline constexpr double kMostAnchorLoss = 0.001;
inline constexpr double kLeastAnchorGain = 0.02;
bool IsWorthIt(const AnchorSuggestion& suggestion, const AnchorReport& present);

// What the suggested anchors lose, and why they are not shown if they are not; a sentence each.
// "Fewer large truths reach 0.5: 5 of 10, now 10." Empty if nothing speaks against them.
std::string SuggestionVerdict(const AnchorSuggestion& suggestion, const AnchorReport& present);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_CHECK_REPORT_H_
