#include "ssd/postprocess/tensor_nms.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "ssd/core/logging.h"
#include "ssd/postprocess/nms.h"

namespace ssd {

at::Tensor Nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold,
               bool suppress_equal, double eta) {
  return BatchedNms(boxes, scores, at::zeros({boxes.size(0)}, at::kLong), iou_threshold,
                    suppress_equal, eta);
}

at::Tensor BatchedNms(const at::Tensor& boxes, const at::Tensor& scores, const at::Tensor& labels,
                      double iou_threshold, bool suppress_equal, double eta) {
  const int64_t count = boxes.size(0);
  CHECK_EQ(scores.numel(), count);
  CHECK_EQ(labels.numel(), count);
  const at::Tensor host_boxes = boxes.to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor host_scores = scores.to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor host_labels = labels.to(at::kCPU, at::kLong).contiguous();
  const float* const box = host_boxes.const_data_ptr<float>();
  const float* const score = host_scores.const_data_ptr<float>();
  const int64_t* const label = host_labels.const_data_ptr<int64_t>();

  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [score](int64_t a, int64_t b) { return score[a] > score[b]; });
  int64_t num_labels = 0;
  for (int64_t i = 0; i < count; ++i) {
    CHECK_GE(label[i], 0);
    num_labels = std::max(num_labels, label[i] + 1);
  }
  GreedySuppression suppression(num_labels, static_cast<float>(iou_threshold), suppress_equal,
                                static_cast<float>(eta));
  int64_t kept = 0;
  for (const int64_t i : order) {
    const float* const b = box + 4 * i;
    if (suppression.Offer(label[i], {b[0], b[1], b[2], b[3]})) order[kept++] = i;
  }
  const at::Tensor result = at::empty({kept}, at::kLong);
  std::copy_n(order.begin(), kept, result.mutable_data_ptr<int64_t>());
  return result.to(boxes.device());
}

}  // namespace ssd
