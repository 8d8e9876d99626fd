#include "ssd/layers/l2_norm.h"

#include <ATen/ops/full.h>
#include <ATen/ops/promote_types.h>

namespace ssd {
namespace {

constexpr double kEpsilon = 1e-10;

}  // namespace

L2Norm::L2Norm(int64_t channels, double initial_scale)
    : weight_(register_parameter("weight", at::full({channels}, initial_scale))) {}

Tensor L2Norm::Forward(const Tensor& maps) const {
  const Tensor wide = maps.to(at::promote_types(maps.scalar_type(), at::kFloat));
  const Tensor inverse_length = wide.square().sum(1, /*keepdim=*/true).add(kEpsilon).rsqrt();
  return wide.mul(inverse_length).mul(weight_.view({1, -1, 1, 1})).to(maps.scalar_type());
}

}  // namespace ssd
