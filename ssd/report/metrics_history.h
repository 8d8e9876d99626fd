#ifndef SSD_REPORT_METRICS_HISTORY_H_
#define SSD_REPORT_METRICS_HISTORY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/report/svg_chart.h"

namespace ssd {

// The numbers of a metrics.jsonl, one series a name ("train.loss", "validation.AP50"), in the order
// in which names first appear; x is the step. What does not exist (null) has no point.
struct MetricsHistory {
  std::vector<ChartSeries> series;
  // What a clock said, likewise: "train.images_per_second", "validation.seconds" of an evaluation.
  std::vector<ChartSeries> timing;
  // Of the last evaluation that was the best so far.
  std::optional<int64_t> best_step;

  // nullptr if there is no such series.
  const ChartSeries* Find(const std::string& name) const;
};

// \error InvalidArgument naming file and line if a line is no JSON object with a step; a last line
// that was not written whole is skipped. Otherwise as ReadFile.
absl::StatusOr<MetricsHistory> ReadMetricsHistory(const std::string& path);

// The curves of a run by step: losses, the first three validation metrics, the learning rate as it
// was planned for the whole run and as it was logged; those of which there is anything.
std::vector<Chart> TrainingCharts(const MetricsHistory& history,
                                  const ChartSeries& planned_learning_rate = ChartSeries());

// What the clock of a whole run said; nullopt where it said nothing.
struct TimingSummary {
  std::optional<double> images_per_second;  // in training, evaluations left out
  std::optional<double> data_wait_share;    // of the time of training; [0, 1]
  // As StepRecord has them; means over logging steps.
  std::optional<double> decode_seconds;
  std::optional<double> transform_seconds;
  std::optional<double> queue_depth;
  std::optional<double> cache_hit_rate;
  int64_t evaluations = 0;
  double evaluation_seconds = 0;  // of all of them
};

// Logging steps count by the time they took.
TimingSummary SummarizeTiming(const MetricsHistory& history);

}  // namespace ssd

#endif  // SSD_REPORT_METRICS_HISTORY_H_
