#include "ssd/backbones/mobilenet.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/hardsigmoid.h>
#include <ATen/ops/relu.h>

#include <algorithm>

#include "ssd/core/logging.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/freeze.h"
#include "ssd/layers/window.h"

namespace ssd {
namespace {

constexpr Window kPointwise = {1, 1, 0, 1};

void Init(torch::nn::Conv2dImpl& convolution, std::optional<double> standard_deviation) {
  if (standard_deviation) {
    InitNormal(convolution, *standard_deviation);
  } else {
    InitKaimingNormal(convolution);
  }
}

}  // namespace

int64_t RoundChannels(double channels) {
  const int64_t nearest = std::max<int64_t>(8, static_cast<int64_t>(channels + 4) / 8 * 8);
  return static_cast<double>(nearest) < 0.9 * channels ? nearest + 8 : nearest;
}

SqueezeExcitation::SqueezeExcitation(int64_t channels, int64_t squeezed_channels,
                                     std::optional<double> initial_standard_deviation)
    : fc1_(register_module(
          "fc1", MakeConvolution(channels, squeezed_channels, kPointwise, /*bias=*/true))),
      fc2_(register_module(
          "fc2", MakeConvolution(squeezed_channels, channels, kPointwise, /*bias=*/true))) {
  Init(*fc1_, initial_standard_deviation);
  Init(*fc2_, initial_standard_deviation);
}

Tensor SqueezeExcitation::Forward(const Tensor& map) {
  const Tensor means = at::adaptive_avg_pool2d(map, {1, 1});
  return map.mul(at::hardsigmoid(fc2_->forward(at::relu(fc1_->forward(means)))));
}

InvertedResidual::InvertedResidual(const Options& options)
    : adds_input_(options.stride == 1 && options.in_channels == options.out_channels),
      out_channels_(options.out_channels),
      projection_(MakeConvolution(options.expanded_channels, options.out_channels, kPointwise,
                                  /*bias=*/false)),
      projection_norm_(std::make_shared<Norm>(options.layer.norm, options.out_channels,
                                              options.layer.norm_constants)) {
  const bool is_v2 = options.names == Names::kMobileNetV2;
  const auto layers =
      register_module(is_v2 ? "conv" : "block", std::make_shared<torch::nn::Module>());
  int next_name = 0;
  if (options.expanded_channels != options.in_channels) {
    ConvolutionBlock::Options expansion = options.layer;
    expansion.in_channels = options.in_channels;
    expansion.out_channels = options.expanded_channels;
    expansion.window = kPointwise;
    expansion_ = layers->register_module(absl::StrCat(next_name++),
                                         std::make_shared<ConvolutionBlock>(expansion));
  }
  ConvolutionBlock::Options depthwise = options.layer;
  depthwise.in_channels = options.expanded_channels;
  depthwise.out_channels = options.expanded_channels;
  depthwise.window = {options.kernel, options.stride, options.kernel / 2, 1};
  depthwise.groups = options.expanded_channels;
  depthwise_ = layers->register_module(absl::StrCat(next_name++),
                                       std::make_shared<ConvolutionBlock>(depthwise));
  if (options.squeezed_channels > 0) {
    squeeze_excitation_ = layers->register_module(
        absl::StrCat(next_name++),
        std::make_shared<SqueezeExcitation>(options.expanded_channels, options.squeezed_channels,
                                            options.layer.initial_standard_deviation));
  }
  Init(*projection_, options.layer.initial_standard_deviation);
  if (is_v2) {
    layers->register_module(absl::StrCat(next_name), projection_);
    layers->register_module(absl::StrCat(next_name + 1), projection_norm_);
  } else {
    const auto projection =
        layers->register_module(absl::StrCat(next_name), std::make_shared<torch::nn::Module>());
    projection->register_module("0", projection_);
    projection->register_module("1", projection_norm_);
  }
}

Tensor InvertedResidual::Expand(const Tensor& map) {
  return expansion_ == nullptr ? map : expansion_->Forward(map);
}

Tensor InvertedResidual::Contract(const Tensor& map, const Tensor& expanded) {
  Tensor output = depthwise_->Forward(expanded);
  if (squeeze_excitation_ != nullptr) output = squeeze_excitation_->Forward(output);
  output = projection_norm_->Forward(projection_->forward(output));
  // In place: norms keep their input for the backward pass, not their output.
  return adds_input_ ? output.add_(map) : output;
}

FeatureSpec InvertedResidual::ExpandedSpec(const FeatureSpec& input) const {
  return expansion_ == nullptr ? input : expansion_->OutputSpec(input);
}

FeatureSpec InvertedResidual::OutputSpec(const FeatureSpec& input) const {
  return MoveWindow(kPointwise, depthwise_->OutputSpec(ExpandedSpec(input)), out_channels_);
}

MobileNet::MobileNet(const Options& options) : tapped_block_(options.tapped_block) {
  CHECK_LT(options.tapped_block, options.blocks.size());
  const auto features = register_module("features", std::make_shared<torch::nn::Module>());
  ConvolutionBlock::Options stem = options.stem;
  stem.window = {3, 2, 1, 1};
  stem_ = features->register_module("0", std::make_shared<ConvolutionBlock>(stem));
  for (const InvertedResidual::Options& block : options.blocks) {
    blocks_.push_back(features->register_module(absl::StrCat(blocks_.size() + 1),
                                                std::make_shared<InvertedResidual>(block)));
  }
  ConvolutionBlock::Options last = options.last;
  last.window = kPointwise;
  last_ = features->register_module(absl::StrCat(blocks_.size() + 1),
                                    std::make_shared<ConvolutionBlock>(last));
  if (!options.frozen_blocks) return;
  Freeze(*stem_);
  for (size_t i = 0; i < *options.frozen_blocks; ++i) Freeze(*blocks_[i]);
}

std::vector<Tensor> MobileNet::Forward(const Tensor& images) {
  std::vector<Tensor> outputs;
  Tensor map = stem_->Forward(images);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Tensor expanded = blocks_[i]->Expand(map);
    if (i == tapped_block_) outputs.push_back(expanded);
    map = blocks_[i]->Contract(map, expanded);
  }
  outputs.push_back(last_->Forward(map));
  return outputs;
}

std::vector<FeatureSpec> MobileNet::OutputSpecs(ImageSize size) const {
  std::vector<FeatureSpec> outputs;
  FeatureSpec spec = stem_->OutputSpec(ImageSpec(size));
  for (size_t i = 0; i < blocks_.size(); ++i) {
    if (i == tapped_block_) outputs.push_back(blocks_[i]->ExpandedSpec(spec));
    spec = blocks_[i]->OutputSpec(spec);
  }
  outputs.push_back(last_->OutputSpec(spec));
  return outputs;
}

}  // namespace ssd
