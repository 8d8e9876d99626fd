#include "experiments/candidate_fates.h"

#include <ATen/core/TensorAccessor.h>

#include <algorithm>

#include "ssd/core/logging.h"

namespace ssd {
namespace {

// Scores of detections and these are the same softmax in two roundings.
constexpr float kSameScore = 1e-5f;

template <typename Options>
SelectionRules CommonRules(const Options& options) {
  SelectionRules rules;
  rules.score_threshold = options.score_threshold();
  rules.iou_threshold = options.iou_threshold();
  rules.max_detections = options.max_detections();
  rules.clip = options.clip() == PerClassNmsOptions::BEFORE_NMS;
  return rules;
}

float ClipToView(float x) { return std::min(std::max(x, 0.0f), 1.0f); }

Corners BoxOf(const Tensor& boxes, int64_t anchor, bool clip) {
  const auto box = boxes.accessor<float, 2>()[anchor];
  if (!clip) return {box[0], box[1], box[2], box[3]};
  return {ClipToView(box[0]), ClipToView(box[1]), ClipToView(box[2]), ClipToView(box[3])};
}

bool AreEqual(const Corners& a, const Corners& b) {
  return a.x0 == b.x0 && a.y0 == b.y0 && a.x1 == b.x1 && a.y1 == b.y1;
}

// The detections of one image.
class DetectionList {
 public:
  explicit DetectionList(const Detections& detections)
      : boxes_(detections.boxes[0]),
        scores_(detections.scores[0]),
        labels_(detections.labels[0]),
        count_(detections.counts.accessor<int64_t, 1>()[0]) {}

  int64_t count() const { return count_; }
  Corners box(int64_t i) const { return BoxOf(boxes_, i, /*clip=*/false); }
  float score(int64_t i) const { return scores_.accessor<float, 1>()[i]; }
  int64_t label(int64_t i) const { return labels_.accessor<int64_t, 1>()[i]; }

 private:
  Tensor boxes_, scores_, labels_;
  int64_t count_;
};

// Whether as many better ones take part as may. `scores`: [A, C].
bool IsBeyondCandidates(int64_t anchor, int64_t label, const Tensor& scores,
                        const SelectionRules& rules) {
  const auto score = scores.accessor<float, 2>();
  const int64_t classes = scores.size(1);
  const auto taking_part = [&](int64_t a) {
    if (!rules.across_classes) return score[a][label - 1];
    float best = score[a][0];
    for (int64_t c = 1; c < classes; ++c) best = std::max(best, score[a][c]);
    return best;
  };
  const float own = score[anchor][label - 1];
  int64_t better = 0;
  for (int64_t a = 0; a < scores.size(0); ++a) {
    const float other = taking_part(a);
    better += other > own || (other == own && a < anchor);
  }
  return better >= rules.max_candidates;
}

bool IsBestClass(int64_t anchor, int64_t label, const Tensor& scores) {
  const auto score = scores.accessor<float, 2>()[anchor];
  for (int64_t c = 0; c < scores.size(1); ++c) {
    if (score[c] > score[label - 1]) return false;
    if (c < label - 1 && score[c] == score[label - 1]) return false;
  }
  return true;
}

}  // namespace

std::optional<SelectionRules> SelectionRulesOf(const PostProcessorConfig& config) {
  if (config.has_per_class_nms()) {
    const PerClassNmsOptions& options = config.per_class_nms();
    SelectionRules rules = CommonRules(options);
    rules.suppress_equal = options.suppress_equal();
    rules.nms_eta = options.nms_eta();
    rules.max_candidates = options.max_candidates_per_class();
    return rules;
  }
  if (config.has_class_agnostic_nms()) {
    const ClassAgnosticNmsOptions& options = config.class_agnostic_nms();
    SelectionRules rules = CommonRules(options);
    rules.suppress_equal = options.suppress_equal();
    rules.across_classes = true;
    rules.max_candidates = options.max_candidates();
    return rules;
  }
  if (config.has_soft_nms()) {
    SelectionRules rules = CommonRules(config.soft_nms());
    rules.soft = true;
    rules.max_candidates = config.soft_nms().max_candidates_per_class();
    return rules;
  }
  return std::nullopt;
}

CandidateFate FateOf(int64_t anchor, int64_t label, const Tensor& boxes, const Tensor& scores,
                     const Detections& detections, const std::optional<SelectionRules>& rules) {
  CHECK(label >= 1 && label <= scores.size(1)) << "label " << label;
  const DetectionList found(detections);
  CandidateFate result;
  const float score = scores.accessor<float, 2>()[anchor][label - 1];
  result.score = score;
  result.box = BoxOf(boxes, anchor, rules.has_value() && rules->clip);
  const bool across_classes = rules.has_value() && rules->across_classes;

  float most = 0;
  for (int64_t i = 0; i < found.count(); ++i) {
    if (!across_classes && found.label(i) != label) continue;
    const Corners box = found.box(i);
    if (found.label(i) == label && AreEqual(box, result.box)) {
      result.fate = Fate::kDetected;
      result.detection = i;
      result.iou = 1;
      return result;
    }
    const float iou = Iou(box, result.box);
    if (iou <= most) continue;
    most = iou;
    result.detection = i;
    result.iou = iou;
  }
  if (!rules.has_value()) return result;
  const auto end_without_detection = [&result](Fate fate) {
    result.fate = fate;
    result.detection = -1;
    result.iou = 0;
    return result;
  };
  if (!(score > static_cast<float>(rules->score_threshold))) {
    return end_without_detection(Fate::kBelowScore);
  }
  if (across_classes && !IsBestClass(anchor, label, scores)) {
    return end_without_detection(Fate::kOtherClass);
  }
  if (IsBeyondCandidates(anchor, label, scores, *rules)) {
    return end_without_detection(Fate::kBeyondCandidates);
  }
  if (rules->soft) return result;

  // Each box that was kept before this one may have lowered the threshold.
  float limit = static_cast<float>(rules->iou_threshold);
  const auto comes_before = [&](int64_t i) {
    return (across_classes || found.label(i) == label) && found.score(i) > score - kSameScore;
  };
  for (int64_t i = 0; i < found.count(); ++i) {
    if (comes_before(i) && rules->nms_eta < 1 && limit > 0.5f) {
      limit *= static_cast<float>(rules->nms_eta);
    }
  }
  for (int64_t i = 0; i < found.count(); ++i) {
    if (!comes_before(i)) continue;
    const float iou = Iou(found.box(i), result.box);
    if (!(iou > limit || (rules->suppress_equal && iou == limit))) continue;
    result.fate = Fate::kSuppressed;
    result.detection = i;
    result.iou = iou;
    result.limit = limit;
    return result;
  }
  if (found.count() == rules->max_detections) {
    return end_without_detection(Fate::kBeyondDetections);
  }
  return result;
}

}  // namespace ssd
