#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>

#include "ssd/core/option_check.h"
#include "ssd/optim/optimizer.h"
#include "ssd/optim/optimizer_state.h"

namespace ssd {
namespace {

// Adam with decoupled weight decay: `optimizer { adamw { learning_rate: 1e-3 } }`.
//
//   p = p - learning_rate * weight_decay * p
//   m = beta1 * m + (1 - beta1) * gradient
//   v = beta2 * v + (1 - beta2) * gradient^2
//   p = p - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// at step t = 1, 2, ... (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2), as
// torch.optim.AdamW without amsgrad. One pass over each parameter, no temporaries.
class AdamWOptimizer final : public Optimizer {
 public:
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(const AdamWOptions& options,
                                                           const OptimizerContext& context) {
    const double rate = options.learning_rate();
    SSD_RETURN_IF_ERROR(CheckOption(rate > 0, "optimizer.adamw.learning_rate", rate, "> 0"));
    SSD_RETURN_IF_ERROR(CheckOption(!options.has_per_batch() || options.per_batch() > 0,
                                    "optimizer.adamw.per_batch", options.per_batch(), "> 0"));
    SSD_RETURN_IF_ERROR(CheckOption(options.beta1() >= 0 && options.beta1() < 1,
                                    "optimizer.adamw.beta1", options.beta1(), "in [0, 1)"));
    SSD_RETURN_IF_ERROR(CheckOption(options.beta2() >= 0 && options.beta2() < 1,
                                    "optimizer.adamw.beta2", options.beta2(), "in [0, 1)"));
    const double epsilon = options.epsilon();
    SSD_RETURN_IF_ERROR(CheckOption(epsilon > 0, "optimizer.adamw.epsilon", epsilon, "> 0"));
    const double decay = options.weight_decay();
    SSD_RETURN_IF_ERROR(CheckOption(decay >= 0, "optimizer.adamw.weight_decay", decay, ">= 0"));
    return std::make_unique<AdamWOptimizer>(options, context);
  }

  AdamWOptimizer(const AdamWOptions& options, const OptimizerContext& context)
      : options_(options),
        base_learning_rate_(options.has_per_batch()
                                ? ScaleLearningRate(options.learning_rate(),
                                                    context.images_per_step, options.per_batch())
                                : options.learning_rate()),
        parameters_(context.parameters),
        slots_{ZerosLike(parameters_), ZerosLike(parameters_)} {
    CHECK(!parameters_.empty());
    step_ = at::zeros({}, parameters_[0].value.options().requires_grad(false));
  }

  double base_learning_rate() const override { return base_learning_rate_; }

  void Step(const Tensor& learning_rate, const Tensor& found_nonfinite) override {
    at::NoGradGuard no_grad;
    std::optional<Tensor> found;
    step_.add_(1);
    if (found_nonfinite.defined()) {
      found = found_nonfinite;
      step_.sub_(found_nonfinite);
    }
    for (const ParameterList& list : WithGradients(parameters_, slots_)) {
      at::_fused_adamw_(list.values, list.gradients, list.slots[0], list.slots[1],
                        /*max_exp_avg_sqs=*/{}, std::vector<Tensor>(list.values.size(), step_),
                        LearningRateOf(list, learning_rate), options_.beta1(), options_.beta2(),
                        options_.weight_decay() * list.weight_decay_multiplier, options_.epsilon(),
                        /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/std::nullopt, found);
    }
  }

  std::vector<std::pair<std::string, Tensor>> State() const override {
    std::vector<std::pair<std::string, Tensor>> state = {{"step", step_}};
    for (size_t i = 0; i < parameters_.size(); ++i) {
      state.emplace_back(parameters_[i].name + ".mean", slots_[0][i]);
      state.emplace_back(parameters_[i].name + ".mean_square", slots_[1][i]);
    }
    return state;
  }

  absl::Status LoadState(const std::vector<std::pair<std::string, Tensor>>& state) override {
    return CopyState(state, State());
  }

 private:
  AdamWOptions options_;
  double base_learning_rate_;
  std::vector<NamedParameter> parameters_;
  std::vector<std::vector<Tensor>> slots_;  // m, v
  Tensor step_;                             // t, 0-d f32 on the parameters' device
};

SSD_REGISTER_OPTIMIZER(AdamWOptions, AdamWOptimizer);

}  // namespace
}  // namespace ssd
