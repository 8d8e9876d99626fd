#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/postprocess/candidates.h"
#include "ssd/postprocess/nms.h"
#include "ssd/postprocess/per_image.h"
#include "ssd/postprocess/post_processor.h"

namespace ssd {
namespace {

// Returns how many were found.
int64_t ProcessImage(const ImagePredictions& image, const ClassAgnosticNmsOptions& options,
                     const DetectionRows& out) {
  CandidateQueue queue;
  FindCandidates(image, static_cast<float>(options.score_threshold()), AnchorClasses::kBest, queue);
  GreedySuppression suppression(1, static_cast<float>(options.iou_threshold()),
                                options.suppress_equal());
  const bool clip = options.clip() == PerClassNmsOptions::BEFORE_NMS;
  int64_t visited = 0;
  int64_t count = 0;
  for (;;) {
    const std::vector<uint64_t>& sorted = queue.NextSorted();
    if (sorted.empty()) return count;
    for (const uint64_t key : sorted) {
      const Corners box = image.Box(IndexOf(key) % image.num_anchors, clip);
      if (!IsFinite(box)) continue;
      if (visited++ >= options.max_candidates()) return count;
      if (!suppression.Offer(0, box)) continue;
      out.Write(count, box, ScoreOf(key), IndexOf(key) / image.num_anchors + 1);
      if (++count == options.max_detections()) return count;
    }
  }
}

// Greedy non-maximum suppression over all classes at once (TensorFlow's use_class_agnostic_nms):
// softmax over C + 1 classes, or sigmoids; each anchor's best class but the background, where its
// score is > score_threshold; of these the max_candidates best; NMS (nms.h) whatever their classes;
// the max_detections best. Taking all classes of an anchor instead of its best would change
// nothing, for its box overlaps itself, but that a box without area would be found twice. Equal
// scores are ordered by class, then anchor. Runs as per_class_nms does; anchors that are not finite
// detect nothing.
//
//   post_processor { class_agnostic_nms { score_threshold: 0.01 iou_threshold: 0.45 } }
class ClassAgnosticNms final : public PostProcessor {
 public:
  // \error InvalidArgument if an option is outside its range.
  static absl::StatusOr<std::unique_ptr<PostProcessor>> Create(
      const ClassAgnosticNmsOptions& options, const PostProcessorContext& context) {
    CHECK_GT(context.num_classes, 0);
    const double score = options.score_threshold();
    SSD_RETURN_IF_ERROR(CheckOption(score >= 0 && score < 1,
                                    "post_processor.class_agnostic_nms.score_threshold", score,
                                    "in [0, 1)"));
    const double iou = options.iou_threshold();
    SSD_RETURN_IF_ERROR(CheckOption(
        iou > 0 && iou <= 1, "post_processor.class_agnostic_nms.iou_threshold", iou, "in (0, 1]"));
    const int candidates = options.max_candidates();
    SSD_RETURN_IF_ERROR(CheckOption(
        candidates > 0, "post_processor.class_agnostic_nms.max_candidates", candidates, "> 0"));
    const int detections = options.max_detections();
    SSD_RETURN_IF_ERROR(CheckOption(
        detections > 0, "post_processor.class_agnostic_nms.max_detections", detections, "> 0"));
    return std::unique_ptr<PostProcessor>(new ClassAgnosticNms(options, context));
  }

  Detections Process(const Tensor& boxes, const Tensor& class_logits) const override {
    return ProcessImages(boxes, class_logits, context_, options_.max_detections(),
                         [this](const ImagePredictions& image, const DetectionRows& out) {
                           return ProcessImage(image, options_, out);
                         });
  }

 private:
  ClassAgnosticNms(const ClassAgnosticNmsOptions& options, const PostProcessorContext& context)
      : options_(options), context_(context) {}

  ClassAgnosticNmsOptions options_;
  PostProcessorContext context_;
};

SSD_REGISTER_POST_PROCESSOR(ClassAgnosticNmsOptions, ClassAgnosticNms);

}  // namespace
}  // namespace ssd
