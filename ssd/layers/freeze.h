#ifndef SSD_LAYERS_FREEZE_H_
#define SSD_LAYERS_FREEZE_H_

#include <torch/nn/module.h>

namespace ssd {

// Takes a module, and all that it contains, out of training: its parameters get no gradient, and
// its Norms normalise by their running averages, which stay as they are.
void Freeze(torch::nn::Module& module);

}  // namespace ssd

#endif  // SSD_LAYERS_FREEZE_H_
