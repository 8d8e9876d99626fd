#include "experiments/check/check_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/plural.h"
#include "ssd/eval/metrics_text.h"
#include "ssd/eval/text_table.h"

namespace ssd {
namespace {

constexpr size_t kShownProblems = 4;  // of a kind
constexpr size_t kShownClasses = 40;
constexpr size_t kShownHard = 5;
constexpr size_t kShownLosses = 2;  // of a reason
constexpr size_t kShownMissed = 10;

constexpr TextTable::Align kLeft = TextTable::Align::kLeft;
constexpr TextTable::Align kRight = TextTable::Align::kRight;

// "97.3", or "n/a" of nothing.
std::string Percent(int64_t part, int64_t whole) {
  if (whole == 0) return "n/a";
  return absl::StrFormat("%.1f", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

// "0.742", or "n/a" of no truths.
std::string MeanIou(const AnchorRecall& recall, double mean) {
  return recall.truths == 0 ? "n/a" : absl::StrFormat("%.3f", mean);
}

std::string SeverityCounts(const std::vector<DataProblem>& problems) {
  return absl::StrCat(Plural(CountOf(problems, Severity::kError), "error"), ", ",
                      Plural(CountOf(problems, Severity::kWarning), "warning"), ", ",
                      Plural(CountOf(problems, Severity::kNote), "note"));
}

std::string ProblemText(const std::vector<DataProblem>& problems) {
  std::string text = absl::StrCat("Problems: ", SeverityCounts(problems), "\n");
  for (size_t begin = 0; begin < problems.size();) {
    const DataProblem& first = problems[begin];
    size_t end = begin;
    while (end < problems.size() && problems[end].kind == first.kind &&
           problems[end].severity == first.severity) {
      ++end;
    }
    absl::StrAppend(&text, "  ", SeverityName(first.severity), " ", ProblemKindName(first.kind),
                    ": ", end - begin, "\n");
    for (size_t i = begin; i < std::min(end, begin + kShownProblems); ++i) {
      const DataProblem& problem = problems[i];
      absl::StrAppend(&text, "    ", problem.file);
      if (problem.line > 0) absl::StrAppend(&text, ":", problem.line);
      absl::StrAppend(&text, problem.file.empty() ? "" : ": ", problem.message, "\n");
    }
    if (end - begin > kShownProblems) {
      absl::StrAppend(&text, "    and ", end - begin - kShownProblems, " more\n");
    }
    begin = end;
  }
  return text;
}

std::string ClassText(const DatasetCheck& check) {
  TextTable table({kLeft, kRight, kRight, kRight, kRight, kRight, kRight, kRight});
  table.AddRow({"class", "images", "boxes", "small", "medium", "large", "median width x height, px",
                "% with an anchor at 0.5"});
  const std::vector<ObjectStatistics>& classes = check.statistics.classes;
  const auto add = [&table](const std::string& name, const ObjectStatistics& objects,
                            const AnchorRecall& recall) {
    const auto& sizes = objects.original.sizes;
    table.AddRow({name, absl::StrCat(objects.images), absl::StrCat(objects.objects),
                  absl::StrCat(sizes[0]), absl::StrCat(sizes[1]), absl::StrCat(sizes[2]),
                  absl::StrFormat("%.0f x %.0f", objects.original.width.median,
                                  objects.original.height.median),
                  Percent(recall.reached[kHalf], recall.truths)});
  };
  for (size_t c = 0; c < std::min(classes.size(), kShownClasses); ++c) {
    add(classes[c].name, classes[c], check.anchors.classes[c]);
  }
  table.AddRule();
  add("all", check.statistics.all, check.anchors.all);
  std::string text = table.Render();
  if (classes.size() > kShownClasses) {
    absl::StrAppend(&text, "and ", classes.size() - kShownClasses, " more classes\n");
  }
  return text;
}

std::string RecallTable(const AnchorReport& anchors) {
  std::vector<TextTable::Align> columns = {kLeft};
  std::vector<std::string> heads = {"% of truths, IoU"};
  for (int i = 0; i < kRecallIous; ++i) {
    columns.push_back(kRight);
    heads.push_back(absl::StrFormat("%.1f", RecallIou(i)));
  }
  columns.resize(columns.size() + 2, kRight);
  heads.push_back("mean");
  heads.push_back("truths");
  TextTable table(columns);
  table.AddRow(heads);
  const auto add = [&](const std::string& name, const AnchorRecall& recall, bool matched) {
    std::vector<std::string> row = {name};
    for (int i = 0; i < kRecallIous; ++i) {
      row.push_back(Percent(matched ? recall.matched[i] : recall.reached[i], recall.truths));
    }
    row.push_back(MeanIou(recall, matched ? recall.mean_matched_iou() : recall.mean_iou()));
    row.push_back(absl::StrCat(recall.truths));
    table.AddRow(std::move(row));
  };
  add("any anchor", anchors.all, false);
  for (const AnchorRecall& size : anchors.sizes) add("  " + size.name, size, false);
  add("after matching", anchors.all, true);
  return table.Render();
}

std::string LevelTable(const AnchorReport& anchors) {
  TextTable table({kRight, kRight, kRight, kRight, kRight, kRight, kRight, kLeft});
  table.AddRow({"level", "map", "stride", "anchors", "reach 0.5, %", "best for, %", "positives",
                "boxes of a cell, px (without positives in brackets)"});
  for (size_t k = 0; k < anchors.levels.size(); ++k) {
    const AnchorLevelUse& level = anchors.levels[k];
    std::string shapes;
    for (const AnchorShapeUse& shape : anchors.shapes) {
      if (shape.level != static_cast<int64_t>(k)) continue;
      const std::string size = absl::StrFormat("%.0fx%.0f", shape.width, shape.height);
      absl::StrAppend(&shapes, shapes.empty() ? "" : " ",
                      shape.positives > 0 ? size : absl::StrCat("(", size, ")"));
    }
    table.AddRow({absl::StrCat(k + 1), absl::StrCat(level.map.height, "x", level.map.width),
                  absl::StrCat(level.map.stride_y), absl::StrCat(level.anchors),
                  Percent(level.reached[kHalf], anchors.all.truths),
                  Percent(level.best_truths, anchors.all.truths), absl::StrCat(level.positives),
                  shapes});
  }
  return table.Render();
}

std::string AnchorText(const DatasetCheck& check) {
  const AnchorReport& anchors = check.anchors;
  std::string text = absl::StrCat("Anchors: ", anchors.anchors, " an image\n", RecallTable(anchors),
                                  "\n", LevelTable(anchors));
  if (anchors.all.truths == 0) return text;
  absl::StrAppendFormat(
      &text, "A truth has %.1f anchors to learn it, the median one %d; %d of %d have none.\n",
      static_cast<double>(anchors.all.positives) / static_cast<double>(anchors.all.truths),
      anchors.MedianPositives(), anchors.all.without_anchor, anchors.all.truths);
  const std::string unused = UnusedText(anchors);
  if (!unused.empty()) absl::StrAppend(&text, unused, "\n");
  if (!anchors.below_half.empty()) absl::StrAppend(&text, "Hardest to reach:\n");
  for (size_t i = 0; i < std::min(anchors.below_half.size(), kShownHard); ++i) {
    absl::StrAppendFormat(&text, "  IoU %.2f  %s\n", anchors.below_half[i].iou,
                          PlaceText(anchors.below_half[i].place));
  }
  return text;
}

std::string SuggestionText(const CheckReport& report) {
  if (!report.suggestion.has_value()) return "";
  const AnchorSuggestion& suggestion = *report.suggestion;
  const AnchorReport& present = report.train.anchors;
  TextTable table({kLeft, kRight, kRight, kRight, kRight, kRight, kRight});
  table.AddRow(
      {"% of truths that reach 0.5", "all", "small", "medium", "large", "mean IoU", "anchors"});
  const auto add = [&table](const std::string& name, const AnchorRecall& all, const auto& sizes,
                            int64_t anchors) {
    std::vector<std::string> row = {name, Percent(all.reached[kHalf], all.truths)};
    for (const AnchorRecall& size : sizes) row.push_back(Percent(size.reached[kHalf], size.truths));
    row.push_back(MeanIou(all, all.mean_iou()));
    row.push_back(absl::StrCat(anchors));
    table.AddRow(std::move(row));
  };
  add("now", present.all, present.sizes, present.anchors);
  add("fitted to data.train", suggestion.all, suggestion.sizes, suggestion.anchors);
  const std::string verdict = SuggestionVerdict(suggestion, present);
  std::string text = absl::StrCat("Anchors fitted by k-means:\n", table.Render(), verdict,
                                  verdict.empty() ? "" : "\n");
  if (!IsWorthIt(suggestion, present)) return text;
  return absl::StrCat(text, "To try them, put this into `model`:\n\n", suggestion.config);
}

std::string CeilingText(const DatasetCheck& check) {
  const Ceiling& ceiling = check.ceiling;
  std::string text = "Ceiling: truths matched, decoded and post-processed as a perfect network's ";
  absl::StrAppend(&text, "detections score");
  for (size_t i = 0; i < std::min<size_t>(3, ceiling.metrics.values.size()); ++i) {
    const auto& [name, value] = ceiling.metrics.values[i];
    absl::StrAppend(&text, i == 0 ? " " : ", ", name, " ", MetricText(value, 4));
  }
  absl::StrAppend(&text, "; ", ceiling.lost_to_learn(), " of ", check.anchors.all.truths,
                  " truths are lost.\n");
  for (int i = 0; i < kLossReasons; ++i) {
    if (ceiling.reasons[i] == 0) continue;
    const auto reason = static_cast<LossReason>(i);
    absl::StrAppend(&text, "  ", ceiling.reasons[i], ": ", LossReasonText(reason), "\n");
    size_t shown = 0;
    for (const NamedLoss& loss : check.losses) {
      if (loss.reason != reason) continue;
      absl::StrAppend(&text, "    ", PlaceText(loss.place));
      if (loss.other.has_value()) {
        absl::StrAppendFormat(&text, ", by %s, IoU %.2f", PlaceText(*loss.other), loss.iou);
      }
      absl::StrAppend(&text, "\n");
      if (++shown == kShownLosses) break;
    }
  }
  return text;
}

std::string OverfitText(const CheckReport& report) {
  if (!report.overfit.has_value()) return "";
  const OverfitOutcome& overfit = *report.overfit;
  std::string text = absl::StrCat("\nOverfit probe: ", overfit.has_passed ? "passed. " : "FAILED. ",
                                  overfit.verdict, "\n");
  for (size_t i = 0; i < std::min(overfit.missed.size(), kShownMissed); ++i) {
    const MissedTruth& missed = overfit.missed[i];
    absl::StrAppendFormat(
        &text, "  missed: %s, %d anchors; nearest detection: IoU %.2f, score %.2f\n",
        PlaceText(missed.place), missed.positives, missed.found_iou, missed.found_score);
  }
  if (overfit.missed.size() > kShownMissed) {
    absl::StrAppend(&text, "  and ", overfit.missed.size() - kShownMissed, " more\n");
  }
  return text;
}

std::string DatasetText(const DatasetCheck& check) {
  const DatasetStatistics& statistics = check.statistics;
  return absl::StrCat(
      "=== data.", check.name, ": ", statistics.images, " images, ", statistics.all.objects,
      " boxes",
      statistics.all.crowds > 0 ? absl::StrCat(" and ", statistics.all.crowds, " crowds") : "",
      ", ", statistics.classes.size(), " classes\n\n", ProblemText(check.problems), "\n",
      ClassText(check), "\n", AnchorText(check), "\n", CeilingText(check), "\n");
}

}  // namespace

std::string CheckText(const CheckReport& report) {
  std::string text = absl::StrCat(DatasetText(report.train), DatasetText(report.validation),
                                  SuggestionText(report), OverfitText(report), "\n");
  std::vector<DataProblem> all = report.train.problems;
  all.insert(all.end(), report.validation.problems.begin(), report.validation.problems.end());
  absl::StrAppend(&text, report.title, report.title.empty() ? "" : ": ", SeverityCounts(all));
  if (!report.has_read_images) absl::StrAppend(&text, "; images were not looked at");
  return absl::StrCat(text, "\n");
}

}  // namespace ssd
