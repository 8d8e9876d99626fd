#ifndef SSD_EVAL_EVALUATOR_TESTING_H_
#define SSD_EVAL_EVALUATOR_TESTING_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "ssd/eval/evaluator.h"

namespace ssd {

// What the tests of evaluators share.

// Truths, and what was found in each image.
struct Scenes {
  EvaluatorContext context;
  std::vector<ImageDetections> detections;
};

// Objects that may overlap, in sizes from small to large, some of them crowds or difficult; up to
// three detections beside each, some of another class. Scores are all different unless `ties`.
Scenes RandomScenes(uint64_t seed, int64_t images, int64_t classes, bool ties);

// Dies if the options are refused.
std::unique_ptr<Evaluator> MakeEvaluator(const EvaluatorConfig& config,
                                         const EvaluatorContext& context);

Metrics Judge(const EvaluatorConfig& config, const EvaluatorContext& context,
              const std::vector<ImageDetections>& detections);

// Expects the same names, the same numbers to exist, and none further apart than `tolerance`.
void ExpectSame(const MetricList& a, const MetricList& b, double tolerance);

}  // namespace ssd

#endif  // SSD_EVAL_EVALUATOR_TESTING_H_
