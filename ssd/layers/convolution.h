#ifndef SSD_LAYERS_CONVOLUTION_H_
#define SSD_LAYERS_CONVOLUTION_H_

#include <torch/nn/modules/conv.h>

#include "ssd/layers/window.h"

namespace ssd {

// A convolution whose geometry is `window`, so that FeatureSpecs and layers cannot disagree.
// Weights are torch's defaults; see below.
torch::nn::Conv2d MakeConvolution(int64_t in_channels, int64_t out_channels, const Window& window,
                                  bool bias);

// Normal weights of variance 2 / (k^2 out_channels), for ReLU networks with normalisation (He et
// al., arXiv:1502.01852, equation 14; torchvision's ResNets); zero bias.
void InitKaimingNormal(torch::nn::Conv2dImpl& convolution);

// Uniform weights of variance 2 / (k^2 (in_channels + out_channels)) (Glorot and Bengio 2010, as
// SSD's new layers: Liu et al., arXiv:1512.02325, section 3); zero bias.
void InitXavierUniform(torch::nn::Conv2dImpl& convolution);

}  // namespace ssd

#endif  // SSD_LAYERS_CONVOLUTION_H_
