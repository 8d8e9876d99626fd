#ifndef SSD_REPORT_METRICS_HISTORY_H_
#define SSD_REPORT_METRICS_HISTORY_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/report/svg_chart.h"

namespace ssd {

// The numbers of a metrics.jsonl, one series a name ("train.loss", "validation.AP50"), in the order
// in which names first appear; x is the step. What does not exist (null) has no point; what a clock
// said is left out.
struct MetricsHistory {
  std::vector<ChartSeries> series;

  // nullptr if there is no such series.
  const ChartSeries* Find(const std::string& name) const;
};

// \error InvalidArgument naming file and line if a line is no JSON object with a step; a last line
// that was not written whole is skipped. Otherwise as ReadFile.
absl::StatusOr<MetricsHistory> ReadMetricsHistory(const std::string& path);

// The curves of a run by step: losses, the first three validation metrics, the learning rate; those
// of which there is anything.
std::vector<Chart> TrainingCharts(const MetricsHistory& history);

}  // namespace ssd

#endif  // SSD_REPORT_METRICS_HISTORY_H_
