#include "ssd/layers/norm.h"

#include <ATen/Context.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "ssd/core/logging.h"

namespace ssd {
namespace {

constexpr int64_t kMaxGroups = 32;

}  // namespace

Norm::Norm(NormKind kind, int64_t channels, NormConstants constants)
    : kind_(kind), constants_(constants), groups_(std::min(channels, kMaxGroups)) {
  CHECK(Fits(kind, channels)) << channels;
  const auto state = [&](const char* name, Tensor value, bool is_parameter) {
    return is_parameter ? register_parameter(name, value) : register_buffer(name, value);
  };
  weight_ = state("weight", at::ones({channels}), kind != NormKind::kFrozenBatch);
  bias_ = state("bias", at::zeros({channels}), kind != NormKind::kFrozenBatch);
  if (kind == NormKind::kGroup) return;
  running_mean_ = register_buffer("running_mean", at::zeros({channels}));
  running_var_ = register_buffer("running_var", at::ones({channels}));
  if (kind == NormKind::kFrozenBatch) return;
  num_batches_tracked_ = register_buffer("num_batches_tracked", at::scalar_tensor(0, at::kLong));
}

bool Norm::Fits(NormKind kind, int64_t channels) {
  return channels > 0 &&
         (kind != NormKind::kGroup || channels < kMaxGroups || channels % kMaxGroups == 0);
}

bool Norm::BlanksOneCell(NormKind kind, int64_t channels) {
  return kind == NormKind::kGroup && channels <= kMaxGroups;
}

Tensor Norm::Forward(const Tensor& maps) {
  if (kind_ == NormKind::kGroup) {
    return at::group_norm(maps, groups_, weight_, bias_, constants_.epsilon);
  }
  // One value of a channel has no variance: the running averages would become NaN.
  const bool has_variance = maps.numel() > maps.size(1);
  const bool update = kind_ == NormKind::kBatch && !frozen_ && is_training() && has_variance;
  if (update) num_batches_tracked_.add_(1);
  return at::batch_norm(maps, weight_, bias_, running_mean_, running_var_, update,
                        constants_.momentum, constants_.epsilon,
                        at::globalContext().userEnabledCuDNN());
}

void Norm::ZeroInitWeight() { weight_.detach().zero_(); }

}  // namespace ssd
