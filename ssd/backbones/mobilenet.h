#ifndef SSD_BACKBONES_MOBILENET_H_
#define SSD_BACKBONES_MOBILENET_H_

#include <torch/nn/modules/conv.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/backbones/backbone.h"
#include "ssd/core/option_check.h"
#include "ssd/layers/convolution_block.h"
#include "ssd/layers/norm.h"

// What MobileNetV2 and MobileNetV3 share. Not a component.
namespace ssd {

// `channels`, at least 8, to the nearest multiple of 8, but never more than a tenth below (the
// MobileNets' authors' make_divisible).
int64_t RoundChannels(double channels);

// Scales each channel of a map by a number in [0, 1] that depends on the means of all channels:
// hard_sigmoid(fc2(relu(fc1(mean)))) (Hu et al., arXiv:1709.01507; hard_sigmoid: MobileNetV3).
class SqueezeExcitation final : public torch::nn::Module {
 public:
  // Unset standard deviation: InitKaimingNormal's.
  SqueezeExcitation(int64_t channels, int64_t squeezed_channels,
                    std::optional<double> initial_standard_deviation);

  Tensor Forward(const Tensor& map);

 private:
  torch::nn::Conv2d fc1_;
  torch::nn::Conv2d fc2_;
};

// Inverted residual with linear bottleneck (arXiv:1801.04381, section 3.3): a 1x1 convolution that
// expands the channels, left out where it would not; a depthwise convolution; in MobileNetV3
// squeeze-and-excitation; a 1x1 convolution without activation. Where the shape stays, the input is
// added.
class InvertedResidual final : public torch::nn::Module {
 public:
  // What torchvision calls the layers.
  enum class Names {
    kMobileNetV2,  // conv.0.0, conv.0.1, ..., conv.2, conv.3
    kMobileNetV3,  // block.0.0, block.0.1, ..., block.2.0, block.2.1
  };
  struct Options {
    int64_t in_channels = 0;
    int64_t expanded_channels = 0;
    int64_t out_channels = 0;
    int64_t kernel = 3;
    int64_t stride = 1;
    int64_t squeezed_channels = 0;  // 0: no squeeze-and-excitation
    Names names = Names::kMobileNetV3;
    ConvolutionBlock::Options layer;  // activation, norm and initial weights of its convolutions
  };

  explicit InvertedResidual(const Options& options);

  // In two halves, because SSDLite looks in between: the expansion of a map, and the rest.
  Tensor Expand(const Tensor& map);
  Tensor Contract(const Tensor& map, const Tensor& expanded);

  FeatureSpec ExpandedSpec(const FeatureSpec& input) const;
  FeatureSpec OutputSpec(const FeatureSpec& input) const;

 private:
  bool adds_input_;
  int64_t out_channels_;
  std::shared_ptr<ConvolutionBlock> expansion_;  // null: none
  std::shared_ptr<ConvolutionBlock> depthwise_;
  std::shared_ptr<SqueezeExcitation> squeeze_excitation_;  // null: none
  torch::nn::Conv2d projection_;
  std::shared_ptr<Norm> projection_norm_;
};

// A 3x3 convolution of stride 2, inverted residuals and a 1x1 convolution, called features.0,
// features.1, ... as in torchvision. Yields two maps: the expansion inside one of the blocks, and
// the last convolution's.
//
// Receptive fields leave squeeze-and-excitation out, through which every cell depends a little on
// the whole image, as they leave out the statistics of norms.
class MobileNet : public Backbone {
 public:
  struct Options {
    ConvolutionBlock::Options stem;  // channels and layer options; its window is set here
    std::vector<InvertedResidual::Options> blocks;
    size_t tapped_block = 0;         // whose expansion is the first map; counts from 0
    ConvolutionBlock::Options last;  // as stem
    // The stem and this many blocks are not trained. Unset: all is trained.
    std::optional<size_t> frozen_blocks;
  };

  explicit MobileNet(const Options& options);

  std::vector<Tensor> Forward(const Tensor& images) override;
  std::vector<FeatureSpec> OutputSpecs(ImageSize size) const override;

 protected:
  // What the options of both versions have in common; `kind` is their field of BackboneConfig.
  template <typename ComponentOptions>
  static absl::Status CheckOptions(const char* kind, const ComponentOptions& options) {
    const std::string path = absl::StrCat("backbone.", kind, ".");
    const double width = options.width_multiplier();
    SSD_RETURN_IF_ERROR(
        CheckOption(width > 0 && width <= 8, path + "width_multiplier", width, "in (0, 8]"));
    const double epsilon = options.norm_epsilon();
    SSD_RETURN_IF_ERROR(CheckOption(epsilon > 0, path + "norm_epsilon", epsilon, "> 0"));
    const double momentum = options.norm_momentum();
    SSD_RETURN_IF_ERROR(
        CheckOption(momentum > 0 && momentum <= 1, path + "norm_momentum", momentum, "in (0, 1]"));
    if (options.norm() == ComponentOptions::FROZEN_BATCH_NORM) {
      SSD_RETURN_IF_ERROR(CheckUnused(options, "norm_momentum", path, "norm: BATCH_NORM"));
    }
    const double deviation = options.initial_standard_deviation();
    return CheckOption(!options.has_initial_standard_deviation() || deviation > 0,
                       path + "initial_standard_deviation", deviation, "> 0");
  }

  // Norm and initial weights of all layers.
  template <typename ComponentOptions>
  static ConvolutionBlock::Options LayerOptions(const ComponentOptions& options) {
    ConvolutionBlock::Options layer;
    layer.norm = options.norm() == ComponentOptions::FROZEN_BATCH_NORM ? NormKind::kFrozenBatch
                                                                       : NormKind::kBatch;
    layer.norm_constants = {options.norm_epsilon(), options.norm_momentum()};
    if (options.has_initial_standard_deviation()) {
      layer.initial_standard_deviation = options.initial_standard_deviation();
    }
    return layer;
  }

 private:
  std::shared_ptr<ConvolutionBlock> stem_;
  std::vector<std::shared_ptr<InvertedResidual>> blocks_;
  size_t tapped_block_;
  std::shared_ptr<ConvolutionBlock> last_;
};

}  // namespace ssd

#endif  // SSD_BACKBONES_MOBILENET_H_
