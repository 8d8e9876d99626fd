#include "ssd/losses/loss_terms.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>

#include <algorithm>

namespace ssd {

Tensor Upcast(const Tensor& predictions) {
  return predictions.scalar_type() == at::kDouble ? predictions : predictions.to(at::kFloat);
}

Tensor IsOwnClass(const Tensor& labels, int64_t num_classes) {
  return labels.unsqueeze(-1) == at::arange(1, num_classes + 1, labels.options());
}

Normalizer::Normalizer(LossNormalizer::Kind kind, const Tensor& positive)
    : kind_(kind), batch_(static_cast<double>(std::max<int64_t>(1, positive.size(0)))) {
  if (kind == LossNormalizer::BATCH_POSITIVES) positives_ = positive.sum().clamp_min(1);
  if (kind == LossNormalizer::IMAGE_POSITIVES) positives_ = positive.sum(1).clamp_min(1);
}

Tensor Normalizer::Normalize(const Tensor& per_anchor) const {
  switch (kind_) {
    case LossNormalizer::BATCH_POSITIVES:
      return per_anchor.sum() / positives_.to(per_anchor.scalar_type());
    case LossNormalizer::IMAGE_POSITIVES:
      return (per_anchor.sum(1) / positives_.to(per_anchor.scalar_type())).sum() / batch_;
    case LossNormalizer::BATCH_SIZE:
      return per_anchor.sum() / batch_;
    case LossNormalizer::NONE:
      break;
  }
  return per_anchor.sum();
}

}  // namespace ssd
