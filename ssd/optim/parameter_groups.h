#ifndef SSD_OPTIM_PARAMETER_GROUPS_H_
#define SSD_OPTIM_PARAMETER_GROUPS_H_

#include <torch/nn/module.h>

#include <vector>

#include "absl/status/statusor.h"
#include "ssd/optim/optimizer.h"

namespace ssd {

// The parameters of `module` that an optimizer updates, by name in order of registration, with the
// multipliers of the first of config's groups whose pattern matches the name. With
// no_decay_for_biases_and_norms, weight decay spares one-dimensional parameters: biases, and the
// weights of normalisation layers.
//
// Frozen parameters, which require no gradient, are left out: they get no optimizer state, no decay
// and no share in the gradient's norm. They count as matches of a pattern, and among the parameters
// of the model that `describe` and run.json state.
// \error InvalidArgument naming the group: a pattern that is empty, matches no parameter, or only
// such that earlier groups have; a multiplier that is negative or not finite.
absl::StatusOr<std::vector<NamedParameter>> NamedParameters(const torch::nn::Module& module,
                                                            const OptimizerConfig& config);

}  // namespace ssd

#endif  // SSD_OPTIM_PARAMETER_GROUPS_H_
