#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/ones_like.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/option_check.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/optimizer_state.h"

namespace ssd {
namespace {

// Stochastic gradient descent with momentum: `optimizer { sgd { learning_rate: 1e-3 } }`.
//
//   g = gradient + weight_decay * p
//   v = momentum * v + g                (v starts at 0)
//   p = p - learning_rate * v           (nesterov: g + momentum * v for v)
//
// as torch.optim.SGD without dampening: one pass over each parameter, no temporaries. With
// learning_rate_in_momentum, as Caffe's SGD solver:
//
//   v = momentum * v + learning_rate * g,   p = p - v
//   (nesterov: learning_rate * g + momentum * v for v)
class SgdOptimizer final : public Optimizer {
 public:
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const SgdOptions& options,
                                                           const OptimizerContext& context) {
    const double rate = options.learning_rate();
    SSD_RETURN_IF_ERROR(CheckOption(rate > 0, "optimizer.sgd.learning_rate", rate, "> 0"));
    SSD_RETURN_IF_ERROR(CheckOption(!options.has_per_batch() || options.per_batch() > 0,
                                    "optimizer.sgd.per_batch", options.per_batch(), "> 0"));
    const double momentum = options.momentum();
    SSD_RETURN_IF_ERROR(CheckOption(momentum >= 0 && momentum < 1, "optimizer.sgd.momentum",
                                    momentum, "in [0, 1)"));
    const double decay = options.weight_decay();
    SSD_RETURN_IF_ERROR(CheckOption(decay >= 0, "optimizer.sgd.weight_decay", decay, ">= 0"));
    for (const auto& [field, set] :
         {std::pair("nesterov", options.nesterov()),
          std::pair("learning_rate_in_momentum", options.learning_rate_in_momentum())}) {
      if (set && options.momentum() == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("optimizer.sgd.", field, ": needs a momentum > 0"));
      }
    }
    return std::make_unique<SgdOptimizer>(options, context);
  }

  SgdOptimizer(const SgdOptions& options, const OptimizerContext& context)
      : options_(options),
        base_learning_rate_(options.has_per_batch()
                                ? ScaleLearningRate(options.learning_rate(),
                                                    context.images_per_step, options.per_batch())
                                : options.learning_rate()),
        parameters_(context.parameters) {
    if (options_.momentum() > 0) slots_.push_back(ZerosLike(parameters_));
  }

  double base_learning_rate() const override { return base_learning_rate_; }

  void Step(const Tensor& learning_rate, const Tensor& found_nonfinite) override {
    at::NoGradGuard no_grad;
    const std::optional<Tensor> found =
        found_nonfinite.defined() ? std::make_optional(found_nonfinite) : std::nullopt;
    for (const ParameterList& list : WithGradients(parameters_, slots_)) {
      Tensor rate = LearningRateOf(list, learning_rate);
      double weight_decay = options_.weight_decay() * list.weight_decay_multiplier;
      std::vector<Tensor> gradients = list.gradients;
      if (options_.learning_rate_in_momentum()) {
        // The same update, of learning_rate * g at a rate of 1.
        gradients = DecayedGradients(list, weight_decay);
        at::_foreach_mul_(gradients, rate);
        weight_decay = 0;
        rate = at::ones_like(rate);
      }
      // The velocity starts at zero, so the first step is like any other.
      at::_fused_sgd_(list.values, gradients,
                      slots_.empty() ? at::TensorList() : at::TensorList(list.slots[0]),
                      weight_decay, options_.momentum(), rate, /*dampening=*/0.0,
                      options_.nesterov(), /*maximize=*/false, /*is_first_step=*/false,
                      /*grad_scale=*/std::nullopt, found);
    }
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    std::vector<std::pair<std::string, Tensor>> state;
    if (slots_.empty()) return state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      state.emplace_back(parameters_[i].name + ".momentum", slots_[0][i]);
    }
    return state;
  }

  absl::Status LoadState(const std::vector<std::pair<std::string, Tensor>>& state) override {
    return CopyState(state, State());
  }

 private:
  SgdOptions options_;
  double base_learning_rate_;
  std::vector<NamedParameter> parameters_;
  std::vector<std::vector<Tensor>> slots_;  // the velocities, unless momentum is 0
};

SSD_REGISTER_OPTIMIZER(SgdOptions, SgdOptimizer);

}  // namespace
}  // namespace ssd
