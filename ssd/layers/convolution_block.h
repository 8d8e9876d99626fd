#ifndef SSD_LAYERS_CONVOLUTION_BLOCK_H_
#define SSD_LAYERS_CONVOLUTION_BLOCK_H_

#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "ssd/core/types.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"

namespace ssd {

enum class Activation {
  kNone,
  kRelu,
  // min(max(x, 0), 6) (MobileNetV2, arXiv:1801.04381, section 3.3).
  kRelu6,
  // x relu6(x + 3) / 6 (MobileNetV3, arXiv:1905.02244, section 5.2).
  kHardSwish,
};

// A convolution without bias, its norm and its activation, called 0 and 1 as in torchvision's
// Conv2dNormActivation: what MobileNets and SSDLite are made of.
class ConvolutionBlock final : public torch::nn::Module {
 public:
  struct Options {
    int64_t in_channels = 0;
    int64_t out_channels = 0;
    Window window;
    int64_t groups = 1;
    Activation activation = Activation::kRelu;
    NormKind norm = NormKind::kBatch;
    NormConstants norm_constants;
    // Of initial weights. Unset: InitKaimingNormal's.
    std::optional<double> initial_standard_deviation;
    bool truncate_initial_weights = false;  // InitNormal's
  };

  explicit ConvolutionBlock(const Options& options);

  Tensor Forward(const Tensor& maps);

  FeatureSpec OutputSpec(const FeatureSpec& input) const;

 private:
  Window window_;
  int64_t out_channels_;
  Activation activation_;
  torch::nn::Conv2d convolution_;
  std::shared_ptr<Norm> norm_;
};

}  // namespace ssd

#endif  // SSD_LAYERS_CONVOLUTION_BLOCK_H_
