#ifndef SSD_OPTIM_OPTIMIZER_STATE_H_
#define SSD_OPTIM_OPTIMIZER_STATE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ssd/core/types.h"
#include "ssd/optim/optimizer.h"

namespace ssd {

// Copies `saved` into the tensors of `live` (an optimizer's, or an average's, by name), on whatever
// device and in whatever memory layout those are. Changes nothing after an error.
// \error InvalidArgument naming the first entry that is missing, unknown or of another shape or
// type.
absl::Status CopyState(const std::vector<std::pair<std::string, Tensor>>& saved,
                       const std::vector<std::pair<std::string, Tensor>>& live);

// The parameters of one Step() that share their multipliers, with what belongs to each.
struct ParameterList {
  double weight_decay_multiplier = 1;
  double learning_rate_multiplier = 1;
  std::vector<Tensor> values;
  std::vector<Tensor> gradients;           // same strides as values
  std::vector<std::vector<Tensor>> slots;  // [slot][parameter]
};

// The parameters that have a gradient, one list for each pair of multipliers. `slots[s]` holds slot
// s of every parameter.
std::vector<ParameterList> WithGradients(const std::vector<NamedParameter>& parameters,
                                         const std::vector<std::vector<Tensor>>& slots);

// The learning rate of `list`: 0-d, on the device.
Tensor LearningRateOf(const ParameterList& list, const Tensor& learning_rate);

// gradient + weight_decay * value of each parameter, in new tensors.
std::vector<Tensor> DecayedGradients(const ParameterList& list, double weight_decay);

// Copies `values` into `targets` unless found_nonfinite (as Optimizer::Step has it) is 1: then
// these keep every bit. Decided on the device.
void AssignUnlessNonfinite(const std::vector<Tensor>& values, const Tensor& found_nonfinite,
                           const std::vector<Tensor>& targets);

// One zero tensor for each parameter, laid out as it is.
std::vector<Tensor> ZerosLike(const std::vector<NamedParameter>& parameters);

// learning_rate * images_per_step / per_batch (Goyal et al., arXiv:1706.02677, linear scaling).
inline double ScaleLearningRate(double learning_rate, int64_t images_per_step, int64_t per_batch) {
  return learning_rate * static_cast<double>(images_per_step) / static_cast<double>(per_batch);
}

}  // namespace ssd

#endif  // SSD_OPTIM_OPTIMIZER_STATE_H_
