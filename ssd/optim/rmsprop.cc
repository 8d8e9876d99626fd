#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_clamp_min.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/ones_like.h>

#include "absl/strings/str_cat.h"
#include "ssd/core/option_check.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/optimizer_state.h"

namespace ssd {
namespace {

// decay * average + (1 - decay) * value, in new tensors. Products and sums are operators of their
// own: one that fuses them rounds otherwise at the ends of each thread's share.
std::vector<Tensor> Averaged(const std::vector<Tensor>& averages, const std::vector<Tensor>& values,
                             double decay) {
  std::vector<Tensor> result = at::_foreach_mul(averages, decay);
  at::_foreach_add_(result, at::_foreach_mul(values, 1 - decay));
  return result;
}

// RMSProp: `optimizer { rmsprop { learning_rate: 1e-3 momentum: 0.9 } }`.
//
//   g = gradient + weight_decay * p
//   s = alpha * s + (1 - alpha) * g^2
//   m = alpha * m + (1 - alpha) * g     (centered; else m = 0)
//   v = momentum * v + g / (sqrt(s - m^2) + epsilon)
//   p = p - learning_rate * v
//
// with s, m and v from 0, as torch.optim.RMSprop. form: TENSORFLOW, as TensorFlow's
// RMSPropOptimizer:
//
//   v = momentum * v + learning_rate * g / sqrt(s - m^2 + epsilon)
//   p = p - v
//
// with s from 1, so that the first steps are small. s - m^2 is a variance; where rounding makes it
// negative, it counts as 0.
class RmsPropOptimizer final : public Optimizer {
 public:
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const RmsPropOptions& options,
                                                           const OptimizerContext& context) {
    const double rate = options.learning_rate();
    SSD_RETURN_IF_ERROR(CheckOption(rate > 0, "optimizer.rmsprop.learning_rate", rate, "> 0"));
    SSD_RETURN_IF_ERROR(CheckOption(!options.has_per_batch() || options.per_batch() > 0,
                                    "optimizer.rmsprop.per_batch", options.per_batch(), "> 0"));
    SSD_RETURN_IF_ERROR(CheckOption(options.alpha() >= 0 && options.alpha() < 1,
                                    "optimizer.rmsprop.alpha", options.alpha(), "in [0, 1)"));
    const double epsilon = options.epsilon();
    SSD_RETURN_IF_ERROR(CheckOption(epsilon > 0, "optimizer.rmsprop.epsilon", epsilon, "> 0"));
    const double momentum = options.momentum();
    SSD_RETURN_IF_ERROR(CheckOption(momentum >= 0 && momentum < 1, "optimizer.rmsprop.momentum",
                                    momentum, "in [0, 1)"));
    const double decay = options.weight_decay();
    SSD_RETURN_IF_ERROR(CheckOption(decay >= 0, "optimizer.rmsprop.weight_decay", decay, ">= 0"));
    return std::make_unique<RmsPropOptimizer>(options, context);
  }

  RmsPropOptimizer(const RmsPropOptions& options, const OptimizerContext& context)
      : options_(options),
        base_learning_rate_(options.has_per_batch()
                                ? ScaleLearningRate(options.learning_rate(),
                                                    context.images_per_step, options.per_batch())
                                : options.learning_rate()),
        parameters_(context.parameters) {
    AddSlot("mean_square");
    if (options_.form() == RmsPropOptions::TENSORFLOW) {
      for (const Tensor& mean_square : slots_[kMeanSquare]) mean_square.fill_(1);
    }
    if (options_.centered()) AddSlot("mean");
    if (options_.momentum() > 0) AddSlot("momentum");
  }

  double base_learning_rate() const override { return base_learning_rate_; }

  void Step(const Tensor& learning_rate, const Tensor& found_nonfinite) override {
    at::NoGradGuard no_grad;
    const std::optional<Tensor> found =
        found_nonfinite.defined() ? std::make_optional(found_nonfinite) : std::nullopt;
    for (const ParameterList& list : WithGradients(parameters_, slots_)) {
      std::vector<Tensor> steps =
          DecayedGradients(list, options_.weight_decay() * list.weight_decay_multiplier);
      std::vector<Tensor> divisors =
          Averaged(list.slots[kMeanSquare], at::_foreach_mul(steps, steps), options_.alpha());
      AssignUnlessNonfinite(divisors, found_nonfinite, list.slots[kMeanSquare]);
      if (options_.centered()) {
        const std::vector<Tensor> means = Averaged(list.slots[kMean], steps, options_.alpha());
        AssignUnlessNonfinite(means, found_nonfinite, list.slots[kMean]);
        at::_foreach_sub_(divisors, at::_foreach_mul(means, means));
        at::_foreach_clamp_min_(divisors, 0.0);
      }
      Tensor rate = LearningRateOf(list, learning_rate);
      if (options_.form() == RmsPropOptions::TENSORFLOW) {
        at::_foreach_add_(divisors, options_.epsilon());
        at::_foreach_sqrt_(divisors);
        at::_foreach_div_(steps, divisors);
        at::_foreach_mul_(steps, rate);
        rate = at::ones_like(rate);
      } else {
        at::_foreach_sqrt_(divisors);
        at::_foreach_add_(divisors, options_.epsilon());
        at::_foreach_div_(steps, divisors);
      }
      // What is left is momentum's part of SGD, which withholds a step by itself.
      at::_fused_sgd_(
          list.values, steps,
          options_.momentum() > 0 ? at::TensorList(list.slots.back()) : at::TensorList(),
          /*weight_decay=*/0.0, options_.momentum(), rate, /*dampening=*/0.0, /*nesterov=*/false,
          /*maximize=*/false, /*is_first_step=*/false, /*grad_scale=*/std::nullopt, found);
    }
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    std::vector<std::pair<std::string, Tensor>> state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      for (size_t s = 0; s < slots_.size(); ++s) {
        state.emplace_back(absl::StrCat(parameters_[i].name, ".", slot_names_[s]), slots_[s][i]);
      }
    }
    return state;
  }

  absl::Status LoadState(const std::vector<std::pair<std::string, Tensor>>& state) override {
    return CopyState(state, State());
  }

 private:
  // Of slots_; the velocities, if any, are the last.
  static constexpr size_t kMeanSquare = 0;
  static constexpr size_t kMean = 1;

  void AddSlot(const char* name) {
    slot_names_.push_back(name);
    slots_.push_back(ZerosLike(parameters_));
  }

  RmsPropOptions options_;
  double base_learning_rate_;
  std::vector<NamedParameter> parameters_;
  std::vector<const char*> slot_names_;
  std::vector<std::vector<Tensor>> slots_;
};

SSD_REGISTER_OPTIMIZER(RmsPropOptions, RmsPropOptimizer);

}  // namespace
}  // namespace ssd
