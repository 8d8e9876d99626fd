#include "ssd/postprocess/nms.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ssd/core/logging.h"

namespace ssd {

GreedySuppression::GreedySuppression(int64_t num_labels, float iou_threshold, bool suppress_equal,
                                     float eta)
    : kept_(num_labels), suppress_equal_(suppress_equal), eta_(eta) {
  for (Kept& kept : kept_) kept.iou_threshold = iou_threshold;
}

bool GreedySuppression::Offer(int64_t label, const Corners& box) {
  Kept& kept = kept_[label];
  // At or above a threshold is above the number next to it.
  const float limit =
      suppress_equal_ ? std::nextafter(kept.iou_threshold, -1.0f) : kept.iou_threshold;
  const float area = BoxArea(box);
  for (const Group& group : kept.groups) {
    int suppressed = 0;
#pragma omp simd reduction(| : suppressed)
    for (int i = 0; i < 8; ++i) {
      suppressed |= Iou(box.x0, box.y0, box.x1, box.y1, area, group.x0[i], group.y0[i], group.x1[i],
                        group.y1[i], group.area[i]) > limit;
    }
    if (suppressed) return false;
  }
  const int64_t lane = kept.count % 8;
  if (lane == 0) kept.groups.push_back(Group());
  Group& group = kept.groups.back();
  group.x0[lane] = box.x0;
  group.y0[lane] = box.y0;
  group.x1[lane] = box.x1;
  group.y1[lane] = box.y1;
  group.area[lane] = area;
  ++kept.count;
  if (eta_ < 1 && kept.iou_threshold > 0.5f) kept.iou_threshold *= eta_;
  return true;
}

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
