#ifndef EXPERIMENTS_RUN_REPORT_H_
#define EXPERIMENTS_RUN_REPORT_H_

#include <vector>

#include "absl/status/status.h"
#include "data/dataset.h"
#include "experiments/experiment.pb.h"
#include "experiments/run_folder.h"
#include "experiments/run_record.h"
#include "ssd/eval/evaluator.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {

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
};

// Writes report.html: curves, metrics, precision-recall curves, the first validation pictures with
// truths beside detections, and the anchors that the experiment's own matcher gives each truth.
absl::Status WriteRunReport(const RunReportInput& input);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_REPORT_H_
