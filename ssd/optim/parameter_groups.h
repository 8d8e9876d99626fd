#ifndef SSD_OPTIM_PARAMETER_GROUPS_H_
#define SSD_OPTIM_PARAMETER_GROUPS_H_

#include <torch/nn/module.h>

#include <vector>

#include "ssd/optim/optimizer.h"

namespace ssd {

// The parameters of `module` that require a gradient, by name in order of registration. With
// no_decay_for_biases_and_norms, weight decay spares one-dimensional parameters: biases, and the
// weights of normalisation layers.
std::vector<NamedParameter> NamedParameters(const torch::nn::Module& module,
                                            bool no_decay_for_biases_and_norms);

}  // namespace ssd

#endif  // SSD_OPTIM_PARAMETER_GROUPS_H_
