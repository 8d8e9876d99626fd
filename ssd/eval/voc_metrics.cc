#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ssd/eval/class_by_class.h"
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

// Pascal VOC's mean average precision: `evaluator { voc { iou: 0.5 } }`.
//
// As VOC's development kit: each detection, best score first, belongs to the truth of its class
// that it overlaps most, and is right if that IoU is at least `iou` and the truth has not been
// found before. One that belongs to a difficult truth (or a crowd) is neither right nor wrong. mAP
// is the area below the curve (VOC 2010 on), mAP_11point the mean precision at recalls 0, 0.1, ...,
// 1 (VOC 2007). Of detections with equal scores that of the lower image id comes first, then the
// earlier.
class VocMetrics {
 public:
  using Matches = ClassMatches;
  struct Numbers {
    std::optional<double> area;
    std::optional<double> eleven_point;
  };

  static absl::StatusOr<std::unique_ptr<Evaluator>> Create(const VocEvaluatorOptions& options,
                                                           const EvaluatorContext& context) {
    if (!(options.iou() > 0 && options.iou() <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("evaluator.voc.iou: ", options.iou(), " must be in (0, 1]"));
    }
    return std::make_unique<ClassByClassEvaluator<VocMetrics>>(VocMetrics(options), context);
  }

  explicit VocMetrics(const VocEvaluatorOptions& options)
      : iou_(options.iou()), extra_(options.inclusive_pixels() ? 1 : 0) {}

  Matches Match(const std::vector<DetectionsByClass::Detection>& detections,
                const std::vector<DetectionsByClass::Truth>& truths) const {
    Matches matches;
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

  Numbers Summarize(const Matches& matches, absl::Span<const int32_t> weights,
                    PrecisionRecallSweep& sweep, PrecisionRecallCurve* curve) const {
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

  MetricList Named(const Numbers& numbers) const {
    return {{"AP", numbers.area}, {"AP_11point", numbers.eleven_point}};
  }

  MetricList MeanOverClasses(const std::vector<Numbers>& classes) const {
    std::vector<std::optional<double>> area, eleven_point;
    for (const Numbers& numbers : classes) {
      area.push_back(numbers.area);
      eleven_point.push_back(numbers.eleven_point);
    }
    return {{"mAP", MeanOfExisting(area)}, {"mAP_11point", MeanOfExisting(eleven_point)}};
  }

  double CurveIou() const { return iou_; }

 private:
  double iou_;
  double extra_;  // pixels
};

SSD_REGISTER_EVALUATOR(VocEvaluatorOptions, VocMetrics);

}  // namespace
}  // namespace ssd
