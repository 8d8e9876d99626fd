#include "ssd/core/boxes.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>

namespace ssd {
namespace {

using at::Tensor;

// What quotients divide by at least, so that boxes without area overlap nothing.
constexpr float kLeastArea = std::numeric_limits<float>::min();

Tensor First(const Tensor& boxes) { return boxes.narrow(-1, 0, 2); }
Tensor Second(const Tensor& boxes) { return boxes.narrow(-1, 2, 2); }

// Width times height of sizes [..., 2]; 0 where one of them is negative.
Tensor Product(const Tensor& sizes) {
  const Tensor positive = sizes.clamp_min(0);
  return positive.select(-1, 0) * positive.select(-1, 1);
}

Tensor Intersection(const Tensor& a, const Tensor& b) {
  return Product(at::minimum(Second(a), Second(b)) - at::maximum(First(a), First(b)));
}

}  // namespace

Tensor CornersFromCenters(const Tensor& centers) {
  const Tensor half = Second(centers) * 0.5;
  return at::cat({First(centers) - half, First(centers) + half}, -1);
}

Tensor CentersFromCorners(const Tensor& corners) {
  return at::cat({(First(corners) + Second(corners)) * 0.5, Second(corners) - First(corners)}, -1);
}

Tensor BoxAreas(const Tensor& corners) { return Product(Second(corners) - First(corners)); }

BoxOverlap AlignedOverlap(const Tensor& a, const Tensor& b) {
  BoxOverlap overlap;
  overlap.intersection = Intersection(a, b);
  overlap.union_area = BoxAreas(a) + BoxAreas(b) - overlap.intersection;
  return overlap;
}

Tensor AlignedIou(const Tensor& a, const Tensor& b) {
  const BoxOverlap overlap = AlignedOverlap(a, b);
  return overlap.intersection / overlap.union_area.clamp_min(kLeastArea);
}

Tensor PairwiseIou(const Tensor& a, const Tensor& b) {
  return AlignedIou(a.unsqueeze(-2), b.unsqueeze(-3));
}

Tensor PairwiseCoverage(const Tensor& a, const Tensor& b) {
  return Intersection(a.unsqueeze(-2), b.unsqueeze(-3)) /
         BoxAreas(b).unsqueeze(-2).clamp_min(kLeastArea);
}

}  // namespace ssd
