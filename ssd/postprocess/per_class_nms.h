#ifndef SSD_POSTPROCESS_PER_CLASS_NMS_H_
#define SSD_POSTPROCESS_PER_CLASS_NMS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "ssd/postprocess/post_processor.h"

namespace ssd {

// SSD's inference (Liu et al., arXiv:1512.02325, section 2.2, "Inference"; Caffe's DetectionOutput,
// torchvision's postprocess_detections): softmax over C + 1 classes, or sigmoids; of each class but
// the background the max_candidates_per_class best anchors with a score > score_threshold; NMS
// within the class (nms.h); of all classes the max_detections best. Equal scores are ordered by
// class, then anchor.
//
// Candidates (candidates.h) of all classes are visited together, best first: within a class that
// is the order of its own NMS, and as soon as max_detections are kept the rest need not be looked
// at. Runs on the CPU, parallel over images; predictions on another device are copied to the host
// once per batch and the detections back. Anchors with a coordinate that is not finite, after
// clipping, or without any finite logit detect nothing.
//
//   post_processor { per_class_nms { score_threshold: 0.01 iou_threshold: 0.45 } }
//   # as NVIDIA's SSD300
//   post_processor {
//     per_class_nms {
//       score_threshold: 0.05 iou_threshold: 0.5 suppress_equal: true
//       max_candidates_per_class: 200 clip: NEVER
//     }
//   }
class PerClassNms final : public PostProcessor {
 public:
  // \error InvalidArgument if an option is outside its range.
  static absl::StatusOr<std::unique_ptr<PostProcessor>> Create(const PerClassNmsOptions& options,
                                                               const PostProcessorContext& context);

  Detections Process(const Tensor& boxes, const Tensor& class_logits) const override;

 private:
  PerClassNms(const PerClassNmsOptions& options, const PostProcessorContext& context)
      : options_(options), context_(context) {}

  PerClassNmsOptions options_;
  PostProcessorContext context_;
};

}  // namespace ssd

#endif  // SSD_POSTPROCESS_PER_CLASS_NMS_H_
