#include "ssd/layers/convolution_block.h"

#include <ATen/ops/hardswish.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/relu6.h>

#include "ssd/layers/convolution.h"

namespace ssd {

ConvolutionBlock::ConvolutionBlock(const Options& options)
    : window_(options.window),
      out_channels_(options.out_channels),
      activation_(options.activation),
      convolution_(
          register_module("0", MakeConvolution(options.in_channels, options.out_channels, window_,
                                               /*bias=*/false, options.groups))),
      norm_(register_module("1", std::make_shared<Norm>(options.norm, options.out_channels,
                                                        options.norm_constants))) {
  if (options.initial_standard_deviation) {
    InitNormal(*convolution_, *options.initial_standard_deviation,
               options.truncate_initial_weights);
  } else {
    InitKaimingNormal(*convolution_);
  }
}

Tensor ConvolutionBlock::Forward(const Tensor& maps) {
  // In place where the backward pass needs the result alone: norms keep their input.
  Tensor output = norm_->Forward(convolution_->forward(maps));
  switch (activation_) {
    case Activation::kNone:
      return output;
    case Activation::kRelu:
      return at::relu_(output);
    case Activation::kRelu6:
      return at::relu6_(output);
    case Activation::kHardSwish:
      return at::hardswish(output);
  }
  return output;
}

FeatureSpec ConvolutionBlock::OutputSpec(const FeatureSpec& input) const {
  return MoveWindow(window_, input, out_channels_);
}

}  // namespace ssd
