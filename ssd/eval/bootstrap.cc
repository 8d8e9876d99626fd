#include "ssd/eval/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/eval/precision_recall.h"

namespace ssd {
namespace {

// Linear interpolation between order statistics (numpy's default). `sorted` is not empty.
double Quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::vector<ConfidenceInterval> BootstrapIntervals(const Evaluator& evaluator, int64_t num_images,
                                                   const BootstrapOptions& options) {
  CHECK_GE(num_images, 1);
  CHECK_GE(options.resamples, 1);
  CHECK(options.confidence > 0 && options.confidence < 1) << options.confidence;
  const std::unique_ptr<ResampledMetrics> resampled = evaluator.Resampled();
  if (resampled == nullptr) return {};

  std::vector<MetricList> outcomes(options.resamples);
  ForEachInParallel(options.resamples, [&](int64_t resample) {
    Random random(options.seed, 0, resample);
    std::vector<int32_t> weights(num_images, 0);
    for (int64_t i = 0; i < num_images; ++i) ++weights[random.Integer(0, num_images - 1)];
    outcomes[resample] = resampled->Compute(weights);
  });

  std::vector<ConfidenceInterval> intervals;
  for (size_t metric = 0; metric < outcomes[0].size(); ++metric) {
    std::vector<double> values;
    for (const MetricList& outcome : outcomes) {
      if (outcome[metric].second.has_value()) values.push_back(*outcome[metric].second);
    }
    ConfidenceInterval& interval = intervals.emplace_back();
    interval.metric = outcomes[0][metric].first;
    interval.confidence = options.confidence;
    if (values.empty()) continue;
    std::sort(values.begin(), values.end());
    interval.low = Quantile(values, (1 - options.confidence) / 2);
    interval.high = Quantile(values, (1 + options.confidence) / 2);
  }
  return intervals;
}

}  // namespace ssd
