#ifndef SSD_POSTPROCESS_TENSOR_NMS_H_
#define SSD_POSTPROCESS_TENSOR_NMS_H_

#include <ATen/core/Tensor.h>

// GreedySuppression (nms.h) of tensors, as other programs have it: what tests compare with their
// figures, and the post-processors' with.
namespace ssd {

// The indices [K] i64 of the boxes that are kept, best first. boxes: [N, 4] f32 corners in any
// unit; scores: [N] f32. On the boxes' device, where CUDA input is copied to the host and the
// result back.
at::Tensor Nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold,
               bool suppress_equal = false, double eta = 1);

// The same within each label: labels [N] i64, >= 0.
at::Tensor BatchedNms(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& labels,
                      double iou_threshold, bool suppress_equal = false, double eta = 1);

}  // namespace ssd

#endif  // SSD_POSTPROCESS_TENSOR_NMS_H_
