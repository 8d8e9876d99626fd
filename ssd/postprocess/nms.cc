#include "ssd/postprocess/nms.h"

#include <cmath>

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

}  // namespace ssd
