#include "experiments/run_check.h"

#include <algorithm>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "data/check/dataset_problems.h"
#include "data/check/dataset_statistics.h"
#include "data/check/image_problems.h"
#include "data/check/network_view.h"
#include "data/data_problem.h"
#include "data/dataset.h"
#include "experiments/check/anchor_index.h"
#include "experiments/check/anchor_report.h"
#include "experiments/check/anchor_suggestion.h"
#include "experiments/check/ceiling.h"
#include "experiments/check/experiment_view.h"
#include "experiments/check/overfit_probe.h"
#include "experiments/check/truth_matching.h"
#include "experiments/run_data.h"
#include "experiments/run_device.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {
namespace {

// A dataset that is being checked.
struct OpenedData {
  std::unique_ptr<Dataset> dataset;
  std::vector<DataProblem> problems;
};

absl::StatusOr<OpenedData> Open(const DatasetConfig& config, const std::vector<std::string>& labels,
                                const std::string& field) {
  OpenedData data;
  ProblemLog log;
  SSD_ASSIGN_OR_RETURN(data.dataset, OpenDataset(config, labels, field, &log));
  data.problems = log.Take();
  return data;
}

// What annotations alone tell, but for the anchors.
struct TruthFindings {
  DatasetStatistics statistics;
  std::vector<DataProblem> problems;
};

absl::StatusOr<TruthFindings> InspectTruths(const Dataset& dataset, const NetworkView& view) {
  TruthFindings findings;
  SSD_ASSIGN_OR_RETURN(findings.statistics, ComputeDatasetStatistics(dataset, view));
  SSD_ASSIGN_OR_RETURN(findings.problems, FindTruthProblems(dataset, view));
  return findings;
}

void Append(std::vector<DataProblem> more, std::vector<DataProblem>& problems) {
  problems.insert(problems.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
}

// Everything that is lost, by name: reason by reason, in the order of the truths.
absl::StatusOr<std::vector<NamedLoss>> NameLosses(const Dataset& dataset,
                                                  const MatchedTruths& matched,
                                                  const Ceiling& ceiling, ImageSize input) {
  std::vector<NamedLoss> losses;
  losses.reserve(ceiling.lost.size());
  TruthPlaces places(dataset, input);
  for (const LostTruth& lost : ceiling.lost) {
    NamedLoss& loss = losses.emplace_back();
    loss.reason = lost.reason;
    loss.iou = lost.iou;
    SSD_ASSIGN_OR_RETURN(loss.place, places.Of(matched.truths[lost.truth]));
    if (lost.other < 0) continue;
    SSD_ASSIGN_OR_RETURN(loss.other, places.Of(matched.truths[lost.other]));
  }
  std::stable_sort(losses.begin(), losses.end(),
                   [](const NamedLoss& a, const NamedLoss& b) { return a.reason < b.reason; });
  return losses;
}

// Everything that the annotations of one dataset tell. `suggestion`, if not null, gets anchors
// fitted to them.
absl::Status CheckAnnotations(const Experiment& experiment, const SsdDetector& detector,
                              const AnchorIndex& index, const NetworkView& view,
                              const Dataset& dataset, DatasetCheck& check,
                              std::optional<AnchorSuggestion>* suggestion) {
  // One thread's work, beside the anchors, which do not keep all cores busy.
  std::future<absl::StatusOr<TruthFindings>> inspected =
      std::async(std::launch::async, [&] { return InspectTruths(dataset, view); });
  SSD_ASSIGN_OR_RETURN(const MatchedTruths matched,
                       MatchTruths(dataset, view, detector.anchors(), index, detector.matcher()));
  const ImageSize input = detector.input_size();
  SSD_ASSIGN_OR_RETURN(check.anchors, ReportAnchors(dataset, matched, index, detector.levels(),
                                                    detector.anchors_per_cell(), input));
  SSD_ASSIGN_OR_RETURN(check.ceiling,
                       ComputeCeiling(dataset, view, matched, detector, experiment.evaluator()));
  SSD_ASSIGN_OR_RETURN(check.losses, NameLosses(dataset, matched, check.ceiling, input));
  if (suggestion != nullptr && check.anchors.all.truths > 0) {
    SSD_ASSIGN_OR_RETURN(*suggestion, SuggestAnchors(matched, detector.levels(),
                                                     detector.anchors_per_cell(), input));
  }
  SSD_ASSIGN_OR_RETURN(TruthFindings findings, inspected.get());
  check.statistics = std::move(findings.statistics);
  Append(std::move(findings.problems), check.problems);
  Append(FindSizeProblems(dataset, check.statistics), check.problems);
  Append(FindAnchorProblems(dataset, check.anchors), check.problems);
  return absl::OkStatus();
}

// A fault by what is told of it.
using ToldFault = std::tuple<ProblemKind, std::string, int64_t, std::string>;

// Removes from `problems` the faults of files that `told` holds, and adds the others to it: a file
// may be read for both datasets, and more than once for one. What is said twice of one line (a
// third use of an id in a JSON file of one line) is one.
void KeepNew(std::vector<DataProblem>& problems, std::set<ToldFault>& told) {
  std::vector<DataProblem> kept;
  for (DataProblem& problem : problems) {
    const bool is_new =
        told.emplace(problem.kind, problem.file, problem.line, problem.message).second;
    if (is_new) kept.push_back(std::move(problem));
  }
  problems = std::move(kept);
}

void SortProblems(std::vector<DataProblem>& problems) {
  std::stable_sort(problems.begin(), problems.end(),
                   [](const DataProblem& a, const DataProblem& b) {
                     return std::tie(a.severity, a.kind) < std::tie(b.severity, b.kind);
                   });
}

}  // namespace

absl::StatusOr<CheckReport> RunCheck(const Experiment& experiment, const CheckOptions& options) {
  if (options.overfit < 0 || options.overfit > kMostOverfitImages) {
    return absl::InvalidArgumentError(absl::StrCat("--overfit=", options.overfit, ": must be 0 to ",
                                                   kMostOverfitImages, " images"));
  }
  SSD_ASSIGN_OR_RETURN(const int64_t threads, SetThreads(options.threads));
  SSD_ASSIGN_OR_RETURN(const at::Device device, SelectDevice(options.device));
  SSD_ASSIGN_OR_RETURN(const NetworkView view, ViewOf(experiment));
  const DataConfig& data = experiment.data();
  SSD_ASSIGN_OR_RETURN(OpenedData train, Open(data.train(), LabelNames(experiment), "data.train"));
  SSD_ASSIGN_OR_RETURN(OpenedData validation,
                       Open(data.validation(), train.dataset->labels().names, "data.validation"));
  SSD_ASSIGN_OR_RETURN(
      const std::shared_ptr<SsdDetector> detector,
      SsdDetector::Create(experiment.model(), train.dataset->labels().num_classes()));
  const AnchorIndex index(detector->anchors(), detector->levels(), detector->anchors_per_cell());

  std::set<ToldFault> told;
  KeepNew(train.problems, told);
  KeepNew(validation.problems, told);

  CheckReport report;
  report.title = experiment.name();
  report.train.name = "train";
  report.train.problems = std::move(train.problems);
  report.validation.name = "validation";
  report.validation.problems = std::move(validation.problems);
  SSD_RETURN_IF_ERROR(CheckAnnotations(experiment, *detector, index, view, *train.dataset,
                                       report.train, &report.suggestion));
  SSD_RETURN_IF_ERROR(CheckAnnotations(experiment, *detector, index, view, *validation.dataset,
                                       report.validation, nullptr));
  Append(FindClassProblems(*train.dataset, report.train.statistics), report.train.problems);
  Append(CompareSplits(report.train.statistics, report.validation.statistics, *validation.dataset),
         report.validation.problems);
  if (options.read_images) {
    ImageCheckOptions image_options;
    image_options.threads = static_cast<int>(threads);
    ImageProblems images =
        FindImageProblems(train.dataset.get(), validation.dataset.get(), image_options);
    report.has_read_images = true;
    report.images_read = images.images_read;
    Append(std::move(images.train), report.train.problems);
    Append(std::move(images.validation), report.validation.problems);
  }
  SortProblems(report.train.problems);
  SortProblems(report.validation.problems);
  if (options.overfit > 0) {
    OverfitOptions overfit;
    overfit.images = options.overfit;
    overfit.device = device;
    SSD_ASSIGN_OR_RETURN(report.overfit,
                         ProbeOverfitting(experiment, *train.dataset, view, overfit));
  }
  return report;
}

}  // namespace ssd
