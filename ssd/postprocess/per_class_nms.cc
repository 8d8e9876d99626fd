#include "ssd/postprocess/per_class_nms.h"

#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/postprocess/candidates.h"
#include "ssd/postprocess/nms.h"
#include "ssd/postprocess/per_image.h"

namespace ssd {
namespace {

// Returns how many were found.
int64_t ProcessImage(const ImagePredictions& image, const PerClassNmsOptions& options,
                     const DetectionRows& out) {
  CandidateQueue queue;
  FindCandidates(image, static_cast<float>(options.score_threshold()), AnchorClasses::kAll, queue);
  GreedySuppression suppression(image.num_classes, static_cast<float>(options.iou_threshold()),
                                options.suppress_equal(), static_cast<float>(options.nms_eta()));
  std::vector<int32_t> visited(image.num_classes, 0);
  const bool clip = options.clip() == PerClassNmsOptions::BEFORE_NMS;
  int64_t count = 0;
  for (;;) {
    const std::vector<uint64_t>& sorted = queue.NextSorted();
    if (sorted.empty()) return count;
    for (const uint64_t key : sorted) {
      const int64_t label = IndexOf(key) / image.num_anchors;  // 0 is the first class here
      const Corners box = image.Box(IndexOf(key) % image.num_anchors, clip);
      if (!IsFinite(box)) continue;
      if (visited[label]++ >= options.max_candidates_per_class()) continue;
      if (!suppression.Offer(label, box)) continue;
      out.Write(count, box, ScoreOf(key), label + 1);
      if (++count == options.max_detections()) return count;
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostProcessor>> PerClassNms::Create(
    const PerClassNmsOptions& options, const PostProcessorContext& context) {
  CHECK_GT(context.num_classes, 0);
  const double score = options.score_threshold();
  SSD_RETURN_IF_ERROR(CheckOption(
      score >= 0 && score < 1, "post_processor.per_class_nms.score_threshold", score, "in [0, 1)"));
  const double iou = options.iou_threshold();
  SSD_RETURN_IF_ERROR(CheckOption(iou > 0 && iou <= 1, "post_processor.per_class_nms.iou_threshold",
                                  iou, "in (0, 1]"));
  const int candidates = options.max_candidates_per_class();
  SSD_RETURN_IF_ERROR(CheckOption(
      candidates > 0, "post_processor.per_class_nms.max_candidates_per_class", candidates, "> 0"));
  const int detections = options.max_detections();
  SSD_RETURN_IF_ERROR(CheckOption(detections > 0, "post_processor.per_class_nms.max_detections",
                                  detections, "> 0"));
  const double eta = options.nms_eta();
  SSD_RETURN_IF_ERROR(
      CheckOption(eta > 0 && eta <= 1, "post_processor.per_class_nms.nms_eta", eta, "in (0, 1]"));
  if (iou <= 0.5) {
    SSD_RETURN_IF_ERROR(CheckUnused(options, "nms_eta", "post_processor.per_class_nms.",
                                    "iou_threshold above 0.5"));
  }
  return std::unique_ptr<PostProcessor>(new PerClassNms(options, context));
}

Detections PerClassNms::Process(const Tensor& boxes, const Tensor& class_logits) const {
  return ProcessImages(boxes, class_logits, context_, options_.max_detections(),
                       [this](const ImagePredictions& image, const DetectionRows& out) {
                         return ProcessImage(image, options_, out);
                       });
}

SSD_REGISTER_POST_PROCESSOR(PerClassNmsOptions, PerClassNms);

}  // namespace ssd
