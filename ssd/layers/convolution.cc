#include "ssd/layers/convolution.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/init.h>

#include <cmath>

#include "ssd/core/logging.h"

namespace ssd {

torch::nn::Conv2d MakeConvolution(int64_t in_channels, int64_t out_channels, const Window& window,
                                  bool bias, int64_t groups) {
  CHECK(!window.ceil_mode) << "of poolings only";
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, window.kernel)
                               .stride(window.stride)
                               .padding(window.padding)
                               .dilation(window.dilation)
                               .groups(groups)
                               .bias(bias));
}

void InitKaimingNormal(torch::nn::Conv2dImpl& convolution) {
  torch::nn::init::kaiming_normal_(convolution.weight, 0, torch::kFanOut, torch::kReLU);
  if (convolution.bias.defined()) torch::nn::init::zeros_(convolution.bias);
}

void InitXavierUniform(torch::nn::Conv2dImpl& convolution) {
  torch::nn::init::xavier_uniform_(convolution.weight);
  if (convolution.bias.defined()) torch::nn::init::zeros_(convolution.bias);
}

void InitNormal(torch::nn::Conv2dImpl& convolution, double standard_deviation, bool truncate) {
  if (truncate) {
    // The inverse of the distribution's integral, of uniform numbers between its values at the
    // cuts.
    at::NoGradGuard no_grad;
    const double share = std::erf(std::sqrt(2.0));
    convolution.weight.uniform_(-share, share).erfinv_().mul_(std::sqrt(2.0) * standard_deviation);
  } else {
    torch::nn::init::normal_(convolution.weight, 0, standard_deviation);
  }
  if (convolution.bias.defined()) torch::nn::init::zeros_(convolution.bias);
}

}  // namespace ssd
