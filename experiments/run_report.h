#ifndef EXPERIMENTS_RUN_REPORT_H_
#define EXPERIMENTS_RUN_REPORT_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "data/dataset.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_folder.h"
#include "experiments/run_record.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/optim/schedule.h"
#include "ssd/report/svg_chart.h"

namespace ssd {

// The learning rate of a whole run as its schedule has it, at no more than 200 of its steps. x
// counts as metrics.jsonl does: the first step is 1.
ChartSeries PlannedLearningRate(double base_learning_rate, const Schedule& schedule,
                                int64_t total_steps);

// What a finished run is reported from; everything outlives the call.
struct RunReportInput {
  const RunFolder& folder;  // its metrics.jsonl holds the curves
  const Experiment& experiment;
  const RunRecord& record;
  const LabelMap& labels;
  const Metrics& metrics;  // of the best weights
  const std::vector<ImageDetections>& detections;
  const Dataset& validation;
  const SsdDetector& detector;  // for its anchors and matcher, on the CPU or not
  const ChartSeries& planned_learning_rate;
};

// Writes report.html: curves beside the planned learning rate, speed, metrics, precision-recall
// curves, the first validation pictures with truths beside detections, and the anchors that the
// experiment's own matcher gives each truth.
absl::Status WriteRunReport(const RunReportInput& input);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_REPORT_H_
