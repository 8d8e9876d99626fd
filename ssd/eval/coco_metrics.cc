#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "ssd/core/geometry.h"
#include "ssd/eval/class_by_class.h"
#include "ssd/eval/evaluator.h"
#include "ssd/eval/precision_recall.h"

namespace ssd {
namespace {

constexpr int kIous = 10;
constexpr int kRecalls = 101;
constexpr int kMaxDetections = 100;  // of a class in an image
constexpr int kIou50 = 0, kIou75 = 5;

enum Area { kAll, kSmall, kMedium, kLarge, kAreas };
// Pixels; both ends belong to the range (params.areaRng).
constexpr double kAreaRange[kAreas][2] = {{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}};

// numpy.linspace(.5, .95, 10), to the bit: an IoU may fall on a threshold.
double IouThreshold(int t) { return t + 1 == kIous ? 0.95 : t * ((0.95 - 0.5) / 9) + 0.5; }

bool Outside(double area, const double (&range)[2]) { return area < range[0] || area > range[1]; }

// The same for a detection. Its area, made from corners, may be some last bits off the width times
// height of a results file, which may well be a bound: 32 x 32.
bool DetectionOutside(double area, const double (&range)[2]) {
  constexpr double kRounding = 1e-9;
  return area < range[0] * (1 - kRounding) || area > range[1] * (1 + kRounding);
}

// How the detections of one class fared, best score first. Bit t of a mask is IoU threshold t.
struct ClassMatches {
  struct TruthCount {
    int32_t image;
    std::array<int32_t, kAreas> counted;  // truths that are not ignored
  };
  std::vector<int32_t> image;  // by detection, as are the next three
  std::vector<uint8_t> rank;   // among those of its image, from 0
  std::array<std::vector<uint16_t>, kAreas> right;
  std::array<std::vector<uint16_t>, kAreas> wrong;  // neither: ignored
  std::vector<TruthCount> truths;                   // images that have any
};

// maskUtils.iou for boxes: over the union, or for a crowd over the detection's own area.
double CocoIou(const PixelBox& detection, const Annotation& truth) {
  if (!truth.crowd) return BoxIou(detection, truth.box);
  const double intersection = IntersectionArea(detection, truth.box);
  return intersection > 0 ? intersection / detection.area() : 0;
}

// COCOeval.evaluateImg for one image and class at all areas and IoUs. Keeps its buffers.
class ImageMatcher {
 public:
  // Both in order of falling score; at most kMaxDetections detections.
  // right[d][a], wrong[d][a]: masks of detection d.
  void Match(absl::Span<const DetectionsByClass::Detection> detections,
             absl::Span<const DetectionsByClass::Truth> truths) {
    right.assign(detections.size(), {});
    wrong.assign(detections.size(), {});
    counted = {};
    ious_.resize(detections.size() * truths.size());
    for (size_t d = 0; d < detections.size(); ++d) {
      for (size_t g = 0; g < truths.size(); ++g) {
        ious_[d * truths.size() + g] = CocoIou(detections[d].box, truths[g].object);
      }
    }
    for (int area = 0; area < kAreas; ++area) MatchArea(detections, truths, area);
  }

  std::vector<std::array<uint16_t, kAreas>> right;
  std::vector<std::array<uint16_t, kAreas>> wrong;
  std::array<int32_t, kAreas> counted;  // truths that are not ignored

 private:
  void MatchArea(absl::Span<const DetectionsByClass::Detection> detections,
                 absl::Span<const DetectionsByClass::Truth> truths, int area) {
    ignored_.resize(truths.size());
    order_.clear();
    for (size_t g = 0; g < truths.size(); ++g) {
      const Annotation& object = truths[g].object;
      ignored_[g] = object.crowd || object.difficult || Outside(object.area, kAreaRange[area]);
      if (!ignored_[g]) order_.push_back(g);
    }
    const size_t num_counted = order_.size();
    counted[area] = static_cast<int32_t>(num_counted);
    for (size_t g = 0; g < truths.size(); ++g) {
      if (ignored_[g]) order_.push_back(g);
    }

    for (int t = 0; t < kIous; ++t) {
      const uint16_t bit = static_cast<uint16_t>(1u << t);
      taken_.assign(truths.size(), false);
      for (size_t d = 0; d < detections.size(); ++d) {
        double best = std::min(IouThreshold(t), 1 - 1e-10);
        int64_t match = -1;
        for (size_t k = 0; k < order_.size(); ++k) {
          const size_t g = order_[k];
          if (taken_[g] && !truths[g].object.crowd) continue;
          // A truth that counts is never given up for one that is ignored.
          if (match >= 0 && !ignored_[match] && k >= num_counted) break;
          const double iou = ious_[d * truths.size() + g];
          if (iou < best) continue;
          best = iou;
          match = static_cast<int64_t>(g);
        }
        if (match >= 0) {
          taken_[match] = true;
          if (!ignored_[match]) right[d][area] |= bit;
        } else if (!DetectionOutside(detections[d].box.area(), kAreaRange[area])) {
          wrong[d][area] |= bit;
        }
      }
    }
  }

  std::vector<double> ious_;  // [D, G]
  std::vector<bool> ignored_;
  std::vector<bool> taken_;
  std::vector<size_t> order_;  // truths that count first
};

ClassMatches MatchClass(const std::vector<DetectionsByClass::Detection>& detections,
                        const std::vector<DetectionsByClass::Truth>& truths) {
  // Matches in the detections' own order (by image), then ranked.
  std::vector<std::array<uint16_t, kAreas>> right(detections.size()), wrong(detections.size());
  std::vector<int32_t> rank(detections.size());
  ClassMatches matches;
  ImageMatcher matcher;
  size_t d = 0, g = 0;
  while (d < detections.size() || g < truths.size()) {
    const int32_t image =
        std::min(d < detections.size() ? detections[d].image : std::numeric_limits<int32_t>::max(),
                 g < truths.size() ? truths[g].image : std::numeric_limits<int32_t>::max());
    size_t d_end = d, g_end = g;
    while (d_end < detections.size() && detections[d_end].image == image) ++d_end;
    while (g_end < truths.size() && truths[g_end].image == image) ++g_end;
    const size_t used = std::min<size_t>(d_end - d, kMaxDetections);
    matcher.Match(absl::MakeConstSpan(detections).subspan(d, used),
                  absl::MakeConstSpan(truths).subspan(g, g_end - g));
    std::copy(matcher.right.begin(), matcher.right.end(), right.begin() + d);
    std::copy(matcher.wrong.begin(), matcher.wrong.end(), wrong.begin() + d);
    std::iota(rank.begin() + d, rank.begin() + d_end, 0);
    if (g_end > g) matches.truths.push_back({image, matcher.counted});
    d = d_end;
    g = g_end;
  }

  for (const int32_t i : RankByScore(detections)) {
    if (rank[i] >= kMaxDetections) continue;
    matches.image.push_back(detections[i].image);
    matches.rank.push_back(static_cast<uint8_t>(rank[i]));
    for (int area = 0; area < kAreas; ++area) {
      matches.right[area].push_back(right[i][area]);
      matches.wrong[area].push_back(wrong[i][area]);
    }
  }
  return matches;
}

// In the order of kNames.
enum Number {
  kAp,
  kAp50,
  kAp75,
  kApS,
  kApM,
  kApL,
  kAr1,
  kAr10,
  kAr100,
  kArS,
  kArM,
  kArL,
  kNumbers
};
constexpr const char* kNames[kNumbers] = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                          "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};

// COCO's twelve numbers: `evaluator { coco {} }`.
//
// As pycocotools' COCOeval(..., "bbox") computes them (cocodataset/cocoapi): IoU 0.50:0.05:0.95, at
// most 1, 10, 100 detections of a class in an image, areas small (up to 32^2 pixels of the
// annotation's own area), medium and large (from 96^2), each including its ends. A crowd is neither
// right nor wrong to find, may be found many times, and its IoU is over the detection's area. The
// best free truth wins, of equal ones the last. AP is the mean of the precision at recalls 0, 0.01,
// ..., 1. Differs in one thing: pycocotools adds 2e-16 to the denominator of the precision.
//
// COCO knows no difficult objects. Here they are what COCOeval calls ignored, as objects of another
// area are: they need not be found, and the detection that finds one is neither right nor wrong.
class CocoMetrics {
 public:
  using Matches = ClassMatches;
  using Numbers = std::array<std::optional<double>, kNumbers>;

  static absl::StatusOr<std::unique_ptr<Evaluator>> Create(const CocoEvaluatorOptions& /*options*/,
                                                           const EvaluatorContext& context) {
    return std::make_unique<ClassByClassEvaluator<CocoMetrics>>(CocoMetrics(), context);
  }

  Matches Match(const std::vector<DetectionsByClass::Detection>& detections,
                const std::vector<DetectionsByClass::Truth>& truths) const {
    return MatchClass(detections, truths);
  }

  // COCOeval.accumulate and .summarize for one class. `curve`: at IoU 0.5.
  Numbers Summarize(const Matches& matches, absl::Span<const int32_t> weights,
                    PrecisionRecallSweep& sweep, PrecisionRecallCurve* curve) const {
    const auto weight = [&](int32_t image) -> int64_t {
      return weights.empty() ? 1 : weights[image];
    };
    std::array<int64_t, kAreas> truths = {};
    for (const ClassMatches::TruthCount& count : matches.truths) {
      for (int area = 0; area < kAreas; ++area) {
        truths[area] += weight(count.image) * count.counted[area];
      }
    }
    Numbers numbers;
    for (int area = 0; area < kAreas; ++area) {
      if (truths[area] == 0) continue;
      double precision = 0, recall = 0, recall_1 = 0, recall_10 = 0;
      for (int t = 0; t < kIous; ++t) {
        const uint16_t bit = static_cast<uint16_t>(1u << t);
        sweep.Clear();
        int64_t found_1 = 0, found_10 = 0;
        for (size_t i = 0; i < matches.image.size(); ++i) {
          if (matches.right[area][i] & bit) {
            const int64_t count = weight(matches.image[i]);
            sweep.AddTrue(count);
            if (matches.rank[i] < 1) found_1 += count;
            if (matches.rank[i] < 10) found_10 += count;
          } else if (matches.wrong[area][i] & bit) {
            sweep.AddFalse(weight(matches.image[i]));
          }
        }
        sweep.Finish(truths[area]);
        const double ap = sweep.MeanPrecisionAtRecalls(kRecalls);
        precision += ap / kIous;
        recall += sweep.FinalRecall() / kIous;
        if (area != kAll) continue;
        recall_1 += static_cast<double>(found_1) / static_cast<double>(truths[area]) / kIous;
        recall_10 += static_cast<double>(found_10) / static_cast<double>(truths[area]) / kIous;
        if (t == kIou50) numbers[kAp50] = ap;
        if (t == kIou75) numbers[kAp75] = ap;
        if (t == kIou50 && curve != nullptr) {
          curve->precision = sweep.PrecisionAtRecalls(kRecalls);
          curve->recall.resize(kRecalls);
          for (int r = 0; r < kRecalls; ++r) curve->recall[r] = r / (kRecalls - 1.0);
        }
      }
      constexpr Number kPrecisionOf[kAreas] = {kAp, kApS, kApM, kApL};
      constexpr Number kRecallOf[kAreas] = {kAr100, kArS, kArM, kArL};
      numbers[kPrecisionOf[area]] = precision;
      numbers[kRecallOf[area]] = recall;
      if (area == kAll) {
        numbers[kAr1] = recall_1;
        numbers[kAr10] = recall_10;
      }
    }
    return numbers;
  }

  MetricList Named(const Numbers& numbers) const {
    MetricList list;
    for (int i = 0; i < kNumbers; ++i) list.emplace_back(kNames[i], numbers[i]);
    return list;
  }

  // Over classes that have truths. Every class weighs the same, as in COCOeval.summarize, whose
  // mean over thresholds, recalls and classes at once is the mean of the classes' means.
  MetricList MeanOverClasses(const std::vector<Numbers>& classes) const {
    Numbers mean;
    std::vector<std::optional<double>> column(classes.size());
    for (int i = 0; i < kNumbers; ++i) {
      for (size_t c = 0; c < classes.size(); ++c) column[c] = classes[c][i];
      mean[i] = MeanOfExisting(column);
    }
    return Named(mean);
  }

  double CurveIou() const { return 0.5; }
};

SSD_REGISTER_EVALUATOR(CocoEvaluatorOptions, CocoMetrics);

}  // namespace
}  // namespace ssd
