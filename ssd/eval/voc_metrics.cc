#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/precision_recall.h"

namespace ssd {
namespace {

constexpr int kCurvePoints = 101;

// How the detections of one class fared, best score first.
struct ClassMatches {
  struct Detection {
    int32_t image;
    bool right;  // else wrong; ignored ones are left out
  };
  std::vector<Detection> detections;
  std::vector<int32_t> truths;  // the image of each that is to be found
};

struct ClassNumbers {
  std::optional<double> area;
  std::optional<double> eleven_point;
};

// IoU of boxes whose sides are `extra` pixels longer than their corners say.
double VocIou(const PixelBox& a, const PixelBox& b, double extra) {
  const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0) + extra;
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0) + extra;
  if (width <= 0 || height <= 0) return 0;
  const double intersection = width * height;
  return intersection / ((a.width() + extra) * (a.height() + extra) +
                         (b.width() + extra) * (b.height() + extra) - intersection);
}

bool ToBeFound(const Annotation& object) { return !object.difficult && !object.crowd; }

// `weights` by image; empty: all 1. `curve` may be null.
ClassNumbers Average(const ClassMatches& matches, absl::Span<const int32_t> weights,
                     PrecisionRecallSweep& sweep, PrecisionRecallCurve* curve) {
  const auto weight = [&](int32_t image) -> int64_t {
    return weights.empty() ? 1 : weights[image];
  };
  int64_t truths = 0;
  for (const int32_t image : matches.truths) truths += weight(image);
  if (truths == 0) return {};
  sweep.Clear();
  for (const ClassMatches::Detection& detection : matches.detections) {
    if (detection.right) {
      sweep.AddTrue(weight(detection.image));
    } else {
      sweep.AddFalse(weight(detection.image));
    }
  }
  sweep.Finish(truths);
  if (curve != nullptr) {
    curve->precision = sweep.PrecisionAtRecalls(kCurvePoints);
    curve->recall.resize(kCurvePoints);
    for (int r = 0; r < kCurvePoints; ++r) curve->recall[r] = r / (kCurvePoints - 1.0);
  }
  return {sweep.Area(), sweep.MeanPrecisionAtRecalls(11)};
}

MetricList MeanOverClasses(const std::vector<ClassNumbers>& classes) {
  std::vector<std::optional<double>> area, eleven_point;
  for (const ClassNumbers& numbers : classes) {
    area.push_back(numbers.area);
    eleven_point.push_back(numbers.eleven_point);
  }
  return {{"mAP", MeanOfExisting(area)}, {"mAP_11point", MeanOfExisting(eleven_point)}};
}

class VocResampledMetrics final : public ResampledMetrics {
 public:
  VocResampledMetrics(std::vector<int64_t> positions, std::vector<ClassMatches> matches)
      : positions_(std::move(positions)), matches_(std::move(matches)) {}

  MetricList Compute(absl::Span<const int32_t> weights) const override {
    const std::vector<int32_t> by_image = Gathered(weights, positions_);
    PrecisionRecallSweep sweep;
    std::vector<ClassNumbers> classes;
    for (const ClassMatches& matches : matches_) {
      classes.push_back(Average(matches, by_image, sweep, nullptr));
    }
    return MeanOverClasses(classes);
  }

 private:
  std::vector<int64_t> positions_;  // among the truths, by image
  std::vector<ClassMatches> matches_;
};

// Pascal VOC's mean average precision: `evaluator { voc { iou: 0.5 } }`.
//
// As VOC's development kit: each detection, best score first, belongs to the truth of its class
// that it overlaps most, and is right if that IoU is at least `iou` and the truth has not been
// found before. One that belongs to a difficult truth (or a crowd) is neither right nor wrong. mAP
// is the area below the curve (VOC 2010 on), mAP_11point the mean precision at recalls 0, 0.1, ...,
// 1 (VOC 2007). Of detections with equal scores that of the lower image id comes first, then the
// earlier.
class VocEvaluator final : public Evaluator {
 public:
  static absl::StatusOr<std::unique_ptr<Evaluator>> Create(const VocEvaluatorOptions& options,
                                                           const EvaluatorContext& context) {
    if (!(options.iou() > 0 && options.iou() <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("evaluator.voc.iou: ", options.iou(), " must be in (0, 1]"));
    }
    return std::make_unique<VocEvaluator>(options, context);
  }

  VocEvaluator(const VocEvaluatorOptions& options, const EvaluatorContext& context)
      : labels_(context.labels),
        detections_(context),
        iou_(options.iou()),
        extra_(options.inclusive_pixels() ? 1 : 0) {}

  void Add(int64_t image_id, std::vector<PixelDetection> detections) override {
    detections_.Add(image_id, detections);
  }

  Metrics Compute() const override {
    std::vector<ClassNumbers> numbers(labels_.num_classes());
    Metrics metrics;
    metrics.per_class.resize(labels_.num_classes());
    ForEachInParallel(labels_.num_classes(), [&](int64_t c) {
      ClassMetrics& of_class = metrics.per_class[c];
      PrecisionRecallSweep sweep;
      numbers[c] = Average(MatchesOf(c + 1), {}, sweep, &of_class.curve);
      of_class.curve.iou = iou_;
      of_class.source_id = labels_.source_ids[c];
      of_class.name = labels_.names[c];
      of_class.values = {{"AP", numbers[c].area}, {"AP_11point", numbers[c].eleven_point}};
    });
    metrics.values = MeanOverClasses(numbers);
    return metrics;
  }

  std::unique_ptr<ResampledMetrics> Resampled() const override {
    std::vector<ClassMatches> matches(labels_.num_classes());
    ForEachInParallel(labels_.num_classes(), [&](int64_t c) { matches[c] = MatchesOf(c + 1); });
    return std::make_unique<VocResampledMetrics>(detections_.positions(), std::move(matches));
  }

  void Reset() override { detections_.Reset(); }

 private:
  ClassMatches MatchesOf(int64_t label) const {
    const std::vector<DetectionsByClass::Truth>& truths = detections_.TruthsOf(label);
    const std::vector<DetectionsByClass::Detection> detections = detections_.DetectionsOf(label);
    ClassMatches matches;
    for (const DetectionsByClass::Truth& truth : truths) {
      if (ToBeFound(truth.object)) matches.truths.push_back(truth.image);
    }
    std::vector<bool> found(truths.size(), false);
    for (const int32_t i : RankByScore(detections)) {
      const DetectionsByClass::Detection& detection = detections[i];
      const auto first = std::lower_bound(
          truths.begin(), truths.end(), detection.image,
          [](const DetectionsByClass::Truth& truth, int32_t image) { return truth.image < image; });
      double best = 0;
      auto match = truths.end();
      for (auto truth = first; truth != truths.end() && truth->image == detection.image; ++truth) {
        const double iou = VocIou(detection.box, truth->object.box, extra_);
        if (iou > best) {
          best = iou;
          match = truth;
        }
      }
      if (match == truths.end() || best < iou_) {
        matches.detections.push_back({detection.image, false});
      } else if (ToBeFound(match->object)) {
        const size_t g = match - truths.begin();
        matches.detections.push_back({detection.image, !found[g]});
        found[g] = true;
      }
    }
    return matches;
  }

  LabelMap labels_;
  DetectionsByClass detections_;
  double iou_;
  double extra_;  // pixels
};

SSD_REGISTER_EVALUATOR(VocEvaluatorOptions, VocEvaluator);

}  // namespace
}  // namespace ssd
