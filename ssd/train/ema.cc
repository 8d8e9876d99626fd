#include "ssd/train/ema.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/item.h>

#include <algorithm>

#include "ssd/core/logging.h"
#include "ssd/optim/optimizer_state.h"

namespace ssd {

ExponentialMovingAverage::ExponentialMovingAverage(torch::nn::Module& module,
                                                   const TrainerConfig::Ema& options)
    : options_(options) {
  at::NoGradGuard no_grad;
  for (const auto& item : module.named_parameters()) {
    names_.push_back(item.key());
    parameters_.push_back(item.value());
    averages_.push_back(item.value().variable_data().clone());
  }
}

void ExponentialMovingAverage::Update(int64_t step, const Tensor& found_nonfinite) {
  CHECK(!swapped_);
  at::NoGradGuard no_grad;
  double decay = options_.decay();
  if (options_.ramp_up()) {
    decay = std::min(decay, static_cast<double>(1 + step) / static_cast<double>(10 + step));
  }
  if (!found_nonfinite.defined() || found_nonfinite.is_cpu()) {
    if (found_nonfinite.defined() && found_nonfinite.item<float>() != 0) return;
    at::_foreach_lerp_(averages_, parameters_, 1 - decay);
    return;
  }
  // A weight of 0 leaves the averages' bits alone: the parameters are finite, the step was
  // withheld.
  const Tensor weight = (1 - found_nonfinite) * (1 - decay);
  for (size_t i = 0; i < averages_.size(); ++i) averages_[i].lerp_(parameters_[i], weight);
}

void ExponentialMovingAverage::Swap() {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor value = parameters_[i].variable_data();
    parameters_[i].set_data(averages_[i]);
    averages_[i] = value;
  }
  swapped_ = !swapped_;
}

std::vector<std::pair<std::string, Tensor>> ExponentialMovingAverage::State() const {
  CHECK(!swapped_);
  std::vector<std::pair<std::string, Tensor>> state;
  for (size_t i = 0; i < names_.size(); ++i) state.emplace_back(names_[i], averages_[i]);
  return state;
}

absl::Status ExponentialMovingAverage::LoadState(
    const std::vector<std::pair<std::string, Tensor>>& state) {
  return CopyState(state, State());
}

}  // namespace ssd
