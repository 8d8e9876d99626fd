#ifndef SSD_TRAIN_GRADIENTS_H_
#define SSD_TRAIN_GRADIENTS_H_

#include <vector>

#include "ssd/core/types.h"

namespace ssd {

// L2 norm of all gradients together: 0-d f32 on their device. Not finite when any value is not.
// Precondition: at least one gradient. The host does not wait.
Tensor GradientNorm(const std::vector<Tensor>& gradients);

// Multiplies the gradients by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_
// (Pascanu et al., arXiv:1211.5063, algorithm 1). The host does not wait.
void ClipGradients(const std::vector<Tensor>& gradients, const Tensor& norm, double max_norm);

}  // namespace ssd

#endif  // SSD_TRAIN_GRADIENTS_H_
