#ifndef SSD_EVAL_EVALUATOR_H_
#define SSD_EVAL_EVALUATOR_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/annotations.h"
#include "ssd/core/registry.h"
#include "ssd/eval/evaluator.pb.h"

namespace ssd {

// One detection in pixels of the original image.
struct PixelDetection {
  PixelBox box;
  double score = 0;
  int64_t label = 0;  // 1..C
};

// What was found in one image, in pixels of the original.
struct ImageDetections {
  int64_t image_id = 0;
  std::vector<PixelDetection> detections;
};

// Precision[i] is the best precision at a recall of at least recall[i]; recall ascends.
struct PrecisionRecallCurve {
  std::vector<double> recall;
  std::vector<double> precision;
  double iou = 0.5;  // the least of a true detection
};

// Numbers by name, in the order they are shown. nullopt is a number that does not exist (no truth
// to average over): null in JSON, "n/a" in tables.
using MetricList = std::vector<std::pair<std::string, std::optional<double>>>;

struct ClassMetrics {
  int64_t source_id = 0;  // LabelMap::source_ids
  std::string name;
  MetricList values;
  PrecisionRecallCurve curve;  // at the family's principal IoU
};

struct Metrics {
  MetricList values;  // the first is what best.pt is chosen by
  std::vector<ClassMetrics> per_class;
};

struct EvaluatorContext {
  LabelMap labels;
  std::vector<Annotations> truths;  // one an image, boxes in pixels of the original
};

// An evaluator's detections, matched once, to be averaged over many resamples of the images.
class ResampledMetrics {
 public:
  virtual ~ResampledMetrics() = default;

  // Metrics::values if truths[i]'s image were there weights[i] >= 0 times; may be called from
  // several threads at once. All weights 1: as Compute().
  virtual MetricList Compute(absl::Span<const int32_t> weights) const = 0;
};

// Judges detections against exact truths. Does not run the network; never sees a Batch.
class Evaluator {
 public:
  virtual ~Evaluator() = default;

  // The detections of one image, in any order; images never added count as having none. An image
  // that is added twice or has no truth entry, a label outside 1..C and a score that is NaN are
  // programmer errors.
  virtual void Add(int64_t image_id, std::vector<PixelDetection> detections) = 0;

  virtual Metrics Compute() const = 0;

  // The present detections for bootstrap resampling; independent of what is done to the evaluator
  // later. nullptr: this kind does not offer it.
  virtual std::unique_ptr<ResampledMetrics> Resampled() const { return nullptr; }

  // Forgets all detections.
  virtual void Reset() = 0;
};

using EvaluatorRegistry = Registry<Evaluator, EvaluatorContext>;

}  // namespace ssd

#define SSD_REGISTER_EVALUATOR(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Evaluator, ::ssd::EvaluatorContext, Options, Component)

#endif  // SSD_EVAL_EVALUATOR_H_
