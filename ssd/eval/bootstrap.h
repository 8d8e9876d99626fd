#ifndef SSD_EVAL_BOOTSTRAP_H_
#define SSD_EVAL_BOOTSTRAP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssd/eval/evaluator.h"

namespace ssd {

struct BootstrapOptions {
  int64_t resamples = 1000;
  double confidence = 0.95;  // (0, 1)
  uint64_t seed = 1;
};

struct ConfidenceInterval {
  std::string metric;         // as in Metrics::values
  std::optional<double> low;  // nullopt: the metric exists in no resample
  std::optional<double> high;
  double confidence = 0.95;
};

// Percentile bootstrap over images (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993,
// chapter 13): each resample draws `num_images` images with replacement from the evaluator's
// truths, of which there must be as many, and the interval's ends are quantiles of what they give.
// Says how much a metric owes to the images it was measured on; not how much training runs differ.
// One entry a metric, in their order; empty if the evaluator offers no resampling. The same for any
// number of threads. Precondition: num_images >= 1, resamples >= 1.
std::vector<ConfidenceInterval> BootstrapIntervals(const Evaluator& evaluator, int64_t num_images,
                                                   const BootstrapOptions& options);

}  // namespace ssd

#endif  // SSD_EVAL_BOOTSTRAP_H_
