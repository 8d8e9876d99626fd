#ifndef SSD_EVAL_METRICS_TEXT_H_
#define SSD_EVAL_METRICS_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssd/eval/bootstrap.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// What else is said beside the numbers.
struct MetricsFacts {
  std::optional<int64_t> images;
  std::optional<int64_t> detections;
  std::optional<double> seconds;
  std::vector<ConfidenceInterval> intervals;
};

// How many images were judged and what was found in them; neither seconds nor intervals.
MetricsFacts FactsOf(int64_t images, const std::vector<ImageDetections>& detections);

// One JSON document, as `evaluate --json` prints it:
//   {"metrics": {"AP": 0.25, ...}, "per_class": [{"id": 18, "name": "dog", "AP": 0.31, ...}],
//    "images": 50, "detections": 1234, "seconds": 2.1}
// with "intervals": {"AP": [0.21, 0.29], ...} if there are any; facts that are not known are left
// out. A number that does not exist is null; others are the shortest text that reads back the same.
std::string MetricsJson(const Metrics& metrics, const MetricsFacts& facts = {});

// The same for people: metrics, then classes. A number that does not exist is "n/a".
std::string MetricsTable(const Metrics& metrics, const MetricsFacts& facts = {});

// "0.253", or "n/a". Four digits: "0.2531".
std::string MetricText(const std::optional<double>& value, int digits = 3);

}  // namespace ssd

#endif  // SSD_EVAL_METRICS_TEXT_H_
