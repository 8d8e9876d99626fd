#include "ssd/postprocess/per_image.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include "ssd/core/logging.h"

namespace ssd {

Detections ProcessImages(const Tensor& boxes, const Tensor& class_logits,
                         const PostProcessorContext& context, int64_t rows,
                         const ImageProcessor& process) {
  at::NoGradGuard no_grad;
  const int64_t batch = boxes.size(0);
  const int64_t num_anchors = boxes.size(1);
  const int64_t num_logits = context.num_classes + (context.sigmoid ? 0 : 1);
  CHECK(boxes.sizes() == at::IntArrayRef({batch, num_anchors, 4}));
  CHECK(class_logits.sizes() == at::IntArrayRef({batch, num_anchors, num_logits}));
  const Tensor host_boxes = boxes.to(at::kCPU, at::kFloat).contiguous();
  const Tensor host_logits = class_logits.to(at::kCPU, at::kFloat).contiguous();
  Detections detections{at::zeros({batch, rows, 4}, at::kFloat),
                        at::zeros({batch, rows}, at::kFloat), at::zeros({batch, rows}, at::kLong),
                        at::zeros({batch}, at::kLong)};
  const float* const box = host_boxes.const_data_ptr<float>();
  const float* const logit = host_logits.const_data_ptr<float>();
  const DetectionRows out{detections.boxes.mutable_data_ptr<float>(),
                          detections.scores.mutable_data_ptr<float>(),
                          detections.labels.mutable_data_ptr<int64_t>()};
  int64_t* const counts = detections.counts.mutable_data_ptr<int64_t>();
  at::parallel_for(0, batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const ImagePredictions image{box + b * num_anchors * 4, logit + b * num_anchors * num_logits,
                                   num_anchors, context.num_classes, context.sigmoid};
      counts[b] =
          process(image, {out.boxes + b * rows * 4, out.scores + b * rows, out.labels + b * rows});
    }
  });
  const at::Device device = boxes.device();
  return {detections.boxes.to(device), detections.scores.to(device), detections.labels.to(device),
          detections.counts.to(device)};
}

}  // namespace ssd
