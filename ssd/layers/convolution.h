#ifndef SSD_LAYERS_CONVOLUTION_H_
#define SSD_LAYERS_CONVOLUTION_H_

#include <torch/nn/modules/conv.h>

#include <cstdint>

#include "ssd/layers/window.h"

namespace ssd {

// A convolution whose geometry is `window`, so that FeatureSpecs and layers cannot disagree.
// Weights are torch's defaults; see below. As many groups as channels make it depthwise.
torch::nn::Conv2d MakeConvolution(int64_t in_channels, int64_t out_channels, const Window& window,
                                  bool bias, int64_t groups = 1);

// Normal weights of variance 2 / (k^2 out_channels), for ReLU networks with normalisation (He et
// al., arXiv:1502.01852, equation 14; torchvision's ResNets); zero bias.
void InitKaimingNormal(torch::nn::Conv2dImpl& convolution);

// Uniform weights of variance 2 / (k^2 (in_channels + out_channels)) (Glorot and Bengio 2010, as
// SSD's new layers: Liu et al., arXiv:1512.02325, section 3); zero bias.
void InitXavierUniform(torch::nn::Conv2dImpl& convolution);

// Normal weights of the given standard deviation; zero bias. torchvision's SSDLite takes 0.03 for
// all layers that are trained from nothing. With `truncate` the distribution is cut off at two
// standard deviations, which leaves it one of 0.88 of the given (TensorFlow's
// truncated_normal_initializer).
void InitNormal(torch::nn::Conv2dImpl& convolution, double standard_deviation,
                bool truncate = false);

}  // namespace ssd

#endif  // SSD_LAYERS_CONVOLUTION_H_
