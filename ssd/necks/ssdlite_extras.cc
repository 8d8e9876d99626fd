#include <algorithm>
#include <memory>
#include <vector>

#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"
#include "ssd/layers/convolution_block.h"
#include "ssd/layers/window.h"
#include "ssd/necks/default_channels.h"
#include "ssd/necks/extra_levels.h"
#include "ssd/necks/neck.h"

namespace ssd {
namespace {

constexpr Window kPointwise = {1, 1, 0, 1};
constexpr Window kHalving = {3, 2, 1, 1};

// 1x1 convolution, depthwise 3x3 convolution, 1x1 convolution.
class SsdliteExtra final : public ExtraLevel {
 public:
  // `layer`: norm and initial weights.
  SsdliteExtra(const ExtraLevelShape& shape, ConvolutionBlock::Options layer) {
    layer.activation = Activation::kRelu6;
    layer.in_channels = shape.in_channels;
    layer.out_channels = shape.mid_channels;
    layer.window = kPointwise;
    reduction_ = register_module("0", std::make_shared<ConvolutionBlock>(layer));
    layer.in_channels = shape.mid_channels;
    layer.window = shape.window;
    layer.groups = shape.mid_channels;
    depthwise_ = register_module("1", std::make_shared<ConvolutionBlock>(layer));
    layer.out_channels = shape.out_channels;
    layer.window = kPointwise;
    layer.groups = 1;
    projection_ = register_module("2", std::make_shared<ConvolutionBlock>(layer));
  }

  Tensor Forward(const Tensor& map) override {
    return projection_->Forward(depthwise_->Forward(reduction_->Forward(map)));
  }

  FeatureSpec OutputSpec(const FeatureSpec& input) const override {
    return projection_->OutputSpec(depthwise_->OutputSpec(reduction_->OutputSpec(input)));
  }

 private:
  std::shared_ptr<ConvolutionBlock> reduction_;
  std::shared_ptr<ConvolutionBlock> depthwise_;
  std::shared_ptr<ConvolutionBlock> projection_;
};

// SSDLite's extra feature layers (Sandler et al., arXiv:1801.04381, section 6.2, as torchvision
// has them): `neck { ssdlite_extras {} }`. Maps of 20 and 10 cells get four more of 5, 3, 2 and 1.
// The layers of an extra level are called 0, 1 and 2, as in torchvision.
class SsdliteExtras final : public ExtraLevels {
 public:
  static absl::StatusOr<std::unique_ptr<Neck>> Create(const SsdliteExtrasOptions& options,
                                                      const NeckContext& context) {
    const double epsilon = options.norm_epsilon();
    SSD_RETURN_IF_ERROR(
        CheckOption(epsilon > 0, "neck.ssdlite_extras.norm_epsilon", epsilon, "> 0"));
    const double momentum = options.norm_momentum();
    SSD_RETURN_IF_ERROR(CheckOption(momentum > 0 && momentum <= 1,
                                    "neck.ssdlite_extras.norm_momentum", momentum, "in (0, 1]"));
    const double deviation = options.initial_standard_deviation();
    SSD_RETURN_IF_ERROR(CheckOption(deviation > 0, "neck.ssdlite_extras.initial_standard_deviation",
                                    deviation, "> 0"));
    SsdliteExtrasOptions filled = options;
    FillChannels(filled);
    const std::vector<int64_t> channels(filled.channels().begin(), filled.channels().end());
    const std::vector<int64_t> mid_channels(filled.mid_channels().begin(),
                                            filled.mid_channels().end());
    const size_t kept = KeptMaps(context);
    const auto choose_window = [&](const FeatureSpec& spec, size_t i) -> absl::StatusOr<Window> {
      if (std::min(spec.height, spec.width) > 1) return kHalving;
      return NoLevelBehind(spec, kept + i, context.num_levels);
    };
    SSD_ASSIGN_OR_RETURN(
        const std::vector<ExtraLevelShape> shapes,
        PlanExtraLevels(context, "ssdlite_extras", channels, mid_channels, choose_window));
    ConvolutionBlock::Options layer;
    layer.norm_constants = {epsilon, momentum};
    layer.initial_standard_deviation = deviation;
    layer.truncate_initial_weights = options.truncate_initial_weights();
    std::vector<std::shared_ptr<ExtraLevel>> levels;
    for (const ExtraLevelShape& shape : shapes) {
      levels.push_back(std::make_shared<SsdliteExtra>(shape, layer));
    }
    return std::make_unique<SsdliteExtras>(kept, levels);
  }

  using ExtraLevels::ExtraLevels;
};

SSD_REGISTER_NECK(SsdliteExtrasOptions, SsdliteExtras);

}  // namespace
}  // namespace ssd
