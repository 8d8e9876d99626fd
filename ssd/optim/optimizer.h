#ifndef SSD_OPTIM_OPTIMIZER_H_
#define SSD_OPTIM_OPTIMIZER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"
#include "ssd/optim/optimizer.pb.h"

namespace ssd {

struct NamedParameter {
  std::string name;
  Tensor value;  // float32 leaf that requires a gradient
  // Of the optimizer's own (OptimizerConfig.group); >= 0.
  double weight_decay_multiplier = 1;
  double learning_rate_multiplier = 1;
};

struct OptimizerContext {
  std::vector<NamedParameter> parameters;
  // Images an optimizer step: batch size times accumulated batches; what `per_batch` scales by.
  int64_t images_per_step = 1;
};

// Turns gradients into new weights. Does not compute, clip or zero gradients, and does not know the
// schedule.
class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // The learning rate at multiplier 1, scaled by `per_batch` where it is set.
  virtual double base_learning_rate() const = 0;

  // Updates every parameter that has a gradient. learning_rate: 0-d f32 on the parameters' device.
  // found_nonfinite: 0-d f32 there, 0 or 1; at 1 the parameters and all state stay exactly as they
  // were (decided on the device: the host never waits). An undefined tensor means 0.
  virtual void Step(const Tensor& learning_rate, const Tensor& found_nonfinite) = 0;

  // State by name ("<parameter>.<slot>", and "step" where there is one), for checkpoints. The
  // tensors are the live ones.
  virtual std::vector<std::pair<std::string, Tensor>> State() const = 0;

  // \error InvalidArgument naming the first entry that is missing, unknown or of another shape.
  virtual absl::Status LoadState(const std::vector<std::pair<std::string, Tensor>>& state) = 0;
};

using OptimizerRegistry = Registry<Optimizer, OptimizerContext>;

}  // namespace ssd

#define SSD_REGISTER_OPTIMIZER(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Optimizer, ::ssd::OptimizerContext, Options, Component)

#endif  // SSD_OPTIM_OPTIMIZER_H_
