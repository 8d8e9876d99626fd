#ifndef SSD_CORE_BOXES_H_
#define SSD_CORE_BOXES_H_

#include <ATen/core/Tensor.h>

#include <limits>

// The arithmetic of boxes: their two forms, areas and intersection over union (Jaccard overlap).
// The tensor functions work on any device and floating type and are differentiable; they do not
// clip. Boxes with x1 < x0 or y1 < y0 have area 0, and an IoU whose union is empty is 0.
namespace ssd {

// [..., 4] (cx, cy, w, h) to corners (x0, y0, x1, y1).
at::Tensor CornersFromCenters(const at::Tensor& centers);

// [..., 4] corners to (cx, cy, w, h).
at::Tensor CentersFromCorners(const at::Tensor& corners);

// Corners [..., 4] to areas [...], >= 0.
at::Tensor BoxAreas(const at::Tensor& corners);

// The areas that boxes have in common and cover together.
struct BoxOverlap {
  at::Tensor intersection;
  at::Tensor union_area;
};

// Of each box of `a` with the box of `b` in the same place (corners [..., 4], broadcast): [...].
BoxOverlap AlignedOverlap(const at::Tensor& a, const at::Tensor& b);

// IoU of each box of `a` with the box of `b` in the same place: [...], in [0, 1].
at::Tensor AlignedIou(const at::Tensor& a, const at::Tensor& b);

// IoU of every box of `a` [..., N, 4] with every box of `b` [..., M, 4] (corners): [..., N, M], in
// [0, 1]. Builds the matrix: for all anchors of a batch use a Matcher.
at::Tensor PairwiseIou(const at::Tensor& a, const at::Tensor& b);

// The same over the areas of `b` instead of the unions: which share of each box of `b` lies in each
// of `a`.
at::Tensor PairwiseCoverage(const at::Tensor& a, const at::Tensor& b);

// One box as corners, for loops over memory. The functions below are branch-free, so that such
// loops vectorise, and round like the tensor functions when compiled with -ffp-contract=off.
struct Corners {
  float x0, y0, x1, y1;
};

inline float PositivePart(float x) { return x > 0.0f ? x : 0.0f; }

inline float BoxArea(const Corners& box) {
  return PositivePart(box.x1 - box.x0) * PositivePart(box.y1 - box.y0);
}

// The area that two boxes have in common. Eight numbers, because GCC does not vectorise loops that
// put boxes together.
inline float Intersection(float ax0, float ay0, float ax1, float ay1, float bx0, float by0,
                          float bx1, float by1) {
  const float width = (ax1 < bx1 ? ax1 : bx1) - (ax0 > bx0 ? ax0 : bx0);
  const float height = (ay1 < by1 ? ay1 : by1) - (ay0 > by0 ? ay0 : by0);
  return PositivePart(width) * PositivePart(height);
}

// IoU of two boxes whose areas are known; in [0, 1].
inline float Iou(float ax0, float ay0, float ax1, float ay1, float area_a, float bx0, float by0,
                 float bx1, float by1, float area_b) {
  const float intersection = Intersection(ax0, ay0, ax1, ay1, bx0, by0, bx1, by1);
  const float area = area_a + area_b - intersection;
  constexpr float kLeast = std::numeric_limits<float>::min();
  return intersection / (area > kLeast ? area : kLeast);
}

// The same of boxes whose areas are not.
inline float Iou(const Corners& a, const Corners& b) {
  return Iou(a.x0, a.y0, a.x1, a.y1, BoxArea(a), b.x0, b.y0, b.x1, b.y1, BoxArea(b));
}

// Which share of b lies in a, where b's area is known; in [0, 1].
inline float Coverage(float ax0, float ay0, float ax1, float ay1, float bx0, float by0, float bx1,
                      float by1, float area_b) {
  constexpr float kLeast = std::numeric_limits<float>::min();
  return Intersection(ax0, ay0, ax1, ay1, bx0, by0, bx1, by1) / (area_b > kLeast ? area_b : kLeast);
}

}  // namespace ssd

#endif  // SSD_CORE_BOXES_H_
