#include "ssd/core/boxes.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/minimum.h>

namespace ssd {
namespace {

using at::Tensor;

Tensor First(const Tensor& boxes) { return boxes.narrow(-1, 0, 2); }
Tensor Second(const Tensor& boxes) { return boxes.narrow(-1, 2, 2); }

// Width times height of sizes [..., 2]; 0 where one of them is negative.
Tensor Product(const Tensor& sizes) {
  const Tensor positive = sizes.clamp_min(0);
  return positive.select(-1, 0) * positive.select(-1, 1);
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

Tensor PairwiseIou(const Tensor& a, const Tensor& b) {
  const Tensor rows = a.unsqueeze(-2);
  const Tensor columns = b.unsqueeze(-3);
  const Tensor intersection = Product(at::minimum(Second(rows), Second(columns)) -
                                      at::maximum(First(rows), First(columns)));
  const Tensor area = BoxAreas(a).unsqueeze(-1) + BoxAreas(b).unsqueeze(-2) - intersection;
  return intersection / area.clamp_min(std::numeric_limits<float>::min());
}

}  // namespace ssd
