#ifndef SSD_EVAL_CLASS_BY_CLASS_H_
#define SSD_EVAL_CLASS_BY_CLASS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/precision_recall.h"

namespace ssd {

// Matches made once, summarized for each resample. Rules: as ClassByClassEvaluator's.
template <typename Rules>
class ClassByClassResamples final : public ResampledMetrics {
 public:
  // `positions`: DetectionsByClass::positions(); `matches`: by class.
  ClassByClassResamples(Rules rules, std::vector<int64_t> positions,
                        std::vector<typename Rules::Matches> matches)
      : rules_(std::move(rules)), positions_(std::move(positions)), matches_(std::move(matches)) {}

  MetricList Compute(absl::Span<const int32_t> weights) const override {
    const std::vector<int32_t> by_image = Gathered(weights, positions_);
    PrecisionRecallSweep sweep;
    std::vector<typename Rules::Numbers> classes;
    for (const typename Rules::Matches& matches : matches_) {
      classes.push_back(rules_.Summarize(matches, by_image, sweep, nullptr));
    }
    return rules_.MeanOverClasses(classes);
  }

 private:
  const Rules rules_;
  const std::vector<int64_t> positions_;
  const std::vector<typename Rules::Matches> matches_;
};

// An evaluator that judges every class for itself and takes the mean over classes. Does not know
// what is right; Rules, which is copied and used from several threads at once, does:
//
//   struct Matches;  // how the detections of a class fared
//   struct Numbers;  // what they come to
//   // Both by image, as DetectionsByClass has them.
//   Matches Match(const std::vector<DetectionsByClass::Detection>& detections,
//                 const std::vector<DetectionsByClass::Truth>& truths) const;
//   // `weights` by image; empty: all 1. `curve` may be null.
//   Numbers Summarize(const Matches& matches, absl::Span<const int32_t> weights,
//                     PrecisionRecallSweep& sweep, PrecisionRecallCurve* curve) const;
//   MetricList Named(const Numbers& numbers) const;  // of a class
//   MetricList MeanOverClasses(const std::vector<Numbers>& classes) const;
//   double CurveIou() const;  // PrecisionRecallCurve::iou
template <typename Rules>
class ClassByClassEvaluator final : public Evaluator {
 public:
  ClassByClassEvaluator(Rules rules, const EvaluatorContext& context)
      : rules_(std::move(rules)), labels_(context.labels), detections_(context) {}

  void Add(int64_t image_id, std::vector<PixelDetection> detections) override {
    detections_.Add(image_id, detections);
  }

  Metrics Compute() const override {
    std::vector<typename Rules::Numbers> numbers(labels_.num_classes());
    Metrics metrics;
    metrics.per_class.resize(labels_.num_classes());
    ForEachInParallel(labels_.num_classes(), [&](int64_t c) {
      ClassMetrics& of_class = metrics.per_class[c];
      PrecisionRecallSweep sweep;
      numbers[c] = rules_.Summarize(MatchesOf(c + 1), {}, sweep, &of_class.curve);
      of_class.curve.iou = rules_.CurveIou();
      of_class.source_id = labels_.source_ids[c];
      of_class.name = labels_.names[c];
      of_class.values = rules_.Named(numbers[c]);
    });
    metrics.values = rules_.MeanOverClasses(numbers);
    return metrics;
  }

  std::unique_ptr<ResampledMetrics> Resampled() const override {
    std::vector<typename Rules::Matches> matches(labels_.num_classes());
    ForEachInParallel(labels_.num_classes(), [&](int64_t c) { matches[c] = MatchesOf(c + 1); });
    return std::make_unique<ClassByClassResamples<Rules>>(rules_, detections_.positions(),
                                                          std::move(matches));
  }

  void Reset() override { detections_.Reset(); }

 private:
  typename Rules::Matches MatchesOf(int64_t label) const {
    return rules_.Match(detections_.DetectionsOf(label), detections_.TruthsOf(label));
  }

  const Rules rules_;
  const LabelMap labels_;
  DetectionsByClass detections_;
};

}  // namespace ssd

#endif  // SSD_EVAL_CLASS_BY_CLASS_H_
