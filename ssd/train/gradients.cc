#include "ssd/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/item.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/stack.h>

#include "ssd/core/logging.h"

namespace ssd {

Tensor GradientNorm(const std::vector<Tensor>& gradients) {
  CHECK(!gradients.empty());
  at::NoGradGuard no_grad;
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
}

void ClipGradients(const std::vector<Tensor>& gradients, const Tensor& norm, double max_norm) {
  at::NoGradGuard no_grad;
  const Tensor factor = ((norm + 1e-6).reciprocal() * max_norm).clamp_max(1.0);
  // On the CPU looking costs nothing, and most steps need no scaling.
  if (factor.is_cpu() && factor.item<float>() == 1) return;
  at::_foreach_mul_(gradients, factor);
}

}  // namespace ssd
