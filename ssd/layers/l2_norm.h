#ifndef SSD_LAYERS_L2_NORM_H_
#define SSD_LAYERS_L2_NORM_H_

#include <torch/nn/module.h>

#include <cstdint>

#include "ssd/core/types.h"

namespace ssd {

// Brings the channels of every cell to one length, then scales each channel by a learned factor
// (ParseNet, arXiv:1506.04579, equations 1 and 2; SSD's conv4_3, arXiv:1512.02325, section 3.1):
//
//   y_c = s_c x_c / sqrt(sum_k x_k^2 + 1e-10)
//
// The constant is Caffe's; a cell of zeros stays zero. The gradient is this formula's own: Caffe's
// layer has the factors s_c where they do not belong once they differ from each other.
//
// Its parameter is called weight.
class L2Norm : public torch::nn::Module {
 public:
  // Every s_c starts at `initial_scale`.
  L2Norm(int64_t channels, double initial_scale);

  // maps: [B, C, H, W]. Keeps their type and layout; lengths are float32 for bfloat16 maps.
  Tensor Forward(const Tensor& maps) const;

 private:
  Tensor weight_;  // [C]
};

}  // namespace ssd

#endif  // SSD_LAYERS_L2_NORM_H_
