#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/core/vector_exp.h"
#include "ssd/postprocess/candidates.h"
#include "ssd/postprocess/per_image.h"
#include "ssd/postprocess/post_processor.h"

namespace ssd {
namespace {

// The candidates of one class that are left, column by column, so that loops over them vectorise.
struct Column {
  std::vector<float> x0, y0, x1, y1, area, score;
  std::vector<int64_t> index;  // candidates.h

  void Add(const Corners& box, uint64_t key) {
    x0.push_back(box.x0);
    y0.push_back(box.y0);
    x1.push_back(box.x1);
    y1.push_back(box.y1);
    area.push_back(BoxArea(box));
    score.push_back(ScoreOf(key));
    index.push_back(IndexOf(key));
  }

  int64_t size() const { return static_cast<int64_t>(index.size()); }

  // The best that is left; of equal ones that of the lower index.
  int64_t Best() const {
    int64_t best = 0;
    for (int64_t i = 1; i < size(); ++i) {
      if (score[i] > score[best] || (score[i] == score[best] && index[i] < index[best])) best = i;
    }
    return best;
  }

  // Puts the last in its place.
  void Remove(int64_t i) {
    for (std::vector<float>* const column : {&x0, &y0, &x1, &y1, &area, &score}) {
      (*column)[i] = column->back();
      column->pop_back();
    }
    index[i] = index.back();
    index.pop_back();
  }
};

// Takes score from what is left for its overlap with a box.
void Decay(const Corners& box, float area, const SoftNmsOptions& options, Column& left) {
  const int64_t count = left.size();
  const float* const x0 = left.x0.data();
  const float* const y0 = left.y0.data();
  const float* const x1 = left.x1.data();
  const float* const y1 = left.y1.data();
  const float* const areas = left.area.data();
  float* const score = left.score.data();
  if (options.decay() == SoftNmsOptions::GAUSSIAN) {
    const float factor = static_cast<float>(-1 / options.sigma());
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float iou =
          Iou(box.x0, box.y0, box.x1, box.y1, area, x0[i], y0[i], x1[i], y1[i], areas[i]);
      const float exponent = iou * iou * factor;
      score[i] *= VectorExp(exponent > -87.0f ? exponent : -87.0f);
    }
    return;
  }
  const float threshold = static_cast<float>(options.iou_threshold());
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float iou =
        Iou(box.x0, box.y0, box.x1, box.y1, area, x0[i], y0[i], x1[i], y1[i], areas[i]);
    score[i] *= iou >= threshold ? 1.0f - iou : 1.0f;
  }
}

// Returns how many were found.
int64_t ProcessImage(const ImagePredictions& image, const SoftNmsOptions& options,
                     const DetectionRows& out) {
  const bool clip = options.clip() == PerClassNmsOptions::BEFORE_NMS;
  CandidateQueue queue;
  FindCandidates(image, static_cast<float>(options.score_threshold()), AnchorClasses::kAll, queue);
  std::vector<Column> classes(image.num_classes);
  int64_t full = 0;
  while (full < image.num_classes) {
    const std::vector<uint64_t>& sorted = queue.NextSorted();
    if (sorted.empty()) break;
    for (const uint64_t key : sorted) {
      Column& column = classes[IndexOf(key) / image.num_anchors];
      if (column.size() >= options.max_candidates_per_class()) continue;
      const Corners box = image.Box(IndexOf(key) % image.num_anchors, clip);
      if (!IsFinite(box)) continue;
      column.Add(box, key);
      if (column.size() == options.max_candidates_per_class()) ++full;
    }
  }

  // What stays of each class, with its score after decay, as keys: best of all first.
  std::vector<uint64_t> kept;
  for (Column& left : classes) {
    // A class's come in falling order, so that no more of it than there are rows can be used.
    for (int64_t n = 0; n < options.max_detections() && left.size() > 0; ++n) {
      const int64_t best = left.Best();
      if (!(left.score[best] > static_cast<float>(options.min_score()))) break;
      kept.push_back(CandidateKey(left.score[best], left.index[best]));
      const Corners box{left.x0[best], left.y0[best], left.x1[best], left.y1[best]};
      const float area = left.area[best];
      left.Remove(best);
      Decay(box, area, options, left);
    }
  }
  std::sort(kept.begin(), kept.end(), std::greater<uint64_t>());
  const int64_t count =
      std::min<int64_t>(options.max_detections(), static_cast<int64_t>(kept.size()));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = IndexOf(kept[i]);
    out.Write(i, image.Box(index % image.num_anchors, clip), ScoreOf(kept[i]),
              index / image.num_anchors + 1);
  }
  return count;
}

// Soft-NMS (Bodla et al., arXiv:1704.04503, section 3 and figure 2) within each class: softmax over
// C + 1 classes, or sigmoids; of each class but the background the max_candidates_per_class best
// anchors with a score > score_threshold; then, again and again, the best box M that is left is
// kept and the score s of every other box b that is left is lowered,
//
//   LINEAR    s (1 - IoU(M, b)) where IoU(M, b) >= iou_threshold
//   GAUSSIAN  s exp(-IoU(M, b)^2 / sigma)
//
// until none is above min_score; of all classes the max_detections best by what their scores have
// become. Equal scores are ordered by class, then anchor. Runs as per_class_nms does; anchors that
// are not finite detect nothing.
//
//   post_processor { soft_nms { decay: GAUSSIAN sigma: 0.5 min_score: 0.001 } }
class SoftNms final : public PostProcessor {
 public:
  // \error InvalidArgument if an option is outside its range.
  static absl::StatusOr<std::unique_ptr<PostProcessor>> Create(
      const SoftNmsOptions& options, const PostProcessorContext& context) {
    CHECK_GT(context.num_classes, 0);
    const double iou = options.iou_threshold();
    SSD_RETURN_IF_ERROR(CheckOption(iou > 0 && iou <= 1, "post_processor.soft_nms.iou_threshold",
                                    iou, "in (0, 1]"));
    const double sigma = options.sigma();
    SSD_RETURN_IF_ERROR(CheckOption(sigma > 0, "post_processor.soft_nms.sigma", sigma, "> 0"));
    const bool gaussian = options.decay() == SoftNmsOptions::GAUSSIAN;
    SSD_RETURN_IF_ERROR(CheckUnused(options, gaussian ? "iou_threshold" : "sigma",
                                    "post_processor.soft_nms.",
                                    gaussian ? "decay: LINEAR" : "decay: GAUSSIAN"));
    const double least = options.min_score();
    SSD_RETURN_IF_ERROR(CheckOption(least >= 0 && least < 1, "post_processor.soft_nms.min_score",
                                    least, "in [0, 1)"));
    const double score = options.score_threshold();
    SSD_RETURN_IF_ERROR(CheckOption(score >= 0 && score < 1,
                                    "post_processor.soft_nms.score_threshold", score, "in [0, 1)"));
    const int candidates = options.max_candidates_per_class();
    SSD_RETURN_IF_ERROR(CheckOption(
        candidates > 0, "post_processor.soft_nms.max_candidates_per_class", candidates, "> 0"));
    const int detections = options.max_detections();
    SSD_RETURN_IF_ERROR(
        CheckOption(detections > 0, "post_processor.soft_nms.max_detections", detections, "> 0"));
    return std::unique_ptr<PostProcessor>(new SoftNms(options, context));
  }

  Detections Process(const Tensor& boxes, const Tensor& class_logits) const override {
    return ProcessImages(boxes, class_logits, context_, options_.max_detections(),
                         [this](const ImagePredictions& image, const DetectionRows& out) {
                           return ProcessImage(image, options_, out);
                         });
  }

 private:
  SoftNms(const SoftNmsOptions& options, const PostProcessorContext& context)
      : options_(options), context_(context) {}

  SoftNmsOptions options_;
  PostProcessorContext context_;
};

SSD_REGISTER_POST_PROCESSOR(SoftNmsOptions, SoftNms);

}  // namespace
}  // namespace ssd
