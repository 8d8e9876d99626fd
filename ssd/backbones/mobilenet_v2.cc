#include <algorithm>
#include <array>
#include <memory>

#include "ssd/backbones/backbone.h"
#include "ssd/backbones/frozen_stages.h"
#include "ssd/backbones/mobilenet.h"
#include "ssd/layers/convolution_block.h"

namespace ssd {
namespace {

// A row of the paper's table 2: t, c, n, s.
struct Stage {
  int64_t expansion;
  int64_t channels;
  int blocks;
  int64_t stride;
};

constexpr std::array<Stage, 7> kStages = {{
    {1, 16, 1, 1},
    {6, 24, 2, 2},
    {6, 32, 3, 2},
    {6, 64, 4, 2},
    {6, 96, 3, 1},
    {6, 160, 3, 2},
    {6, 320, 1, 1},
}};
// The first at stride 32.
constexpr size_t kTappedStage = 5;
constexpr double kStemChannels = 32;
constexpr double kLastChannels = 1280;

// MobileNetV2 (Sandler et al., arXiv:1801.04381) without its classifier:
// `backbone { mobilenet_v2 { width_multiplier: 1 } }`. All names and shapes in its state are
// torchvision's: features.0.0, features.1.conv.0.0, ..., features.18.1.
class MobileNetV2 final : public MobileNet {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const MobileNetV2Options& options,
                                                          const BackboneContext& context) {
    SSD_RETURN_IF_ERROR(CheckOptions("mobilenet_v2", options));
    const int num_stages = static_cast<int>(kStages.size());
    if (options.has_frozen_stages()) {
      SSD_RETURN_IF_ERROR(CheckFrozenStages("mobilenet_v2", options.frozen_stages(), num_stages));
    }
    const double width = options.width_multiplier();
    Options network;
    ConvolutionBlock::Options layer = LayerOptions(options);
    layer.activation = Activation::kRelu6;
    network.stem = layer;
    network.stem.in_channels = 3;
    int64_t channels = RoundChannels(kStemChannels * width);
    network.stem.out_channels = channels;
    if (options.has_frozen_stages()) network.frozen_blocks = 0;
    for (size_t i = 0; i < kStages.size(); ++i) {
      const Stage& stage = kStages[i];
      if (i == kTappedStage) network.tapped_block = network.blocks.size();
      for (int j = 0; j < stage.blocks; ++j) {
        InvertedResidual::Options block;
        block.in_channels = channels;
        block.expanded_channels = channels * stage.expansion;
        block.out_channels = RoundChannels(static_cast<double>(stage.channels) * width);
        block.stride = j == 0 ? stage.stride : 1;
        block.names = InvertedResidual::Names::kMobileNetV2;
        block.layer = layer;
        network.blocks.push_back(block);
        channels = block.out_channels;
      }
      if (options.has_frozen_stages() && static_cast<int>(i) < options.frozen_stages()) {
        network.frozen_blocks = network.blocks.size();
      }
    }
    network.last = layer;
    network.last.in_channels = channels;
    network.last.out_channels = RoundChannels(kLastChannels * std::max(1.0, width));
    return std::make_unique<MobileNetV2>(network);
  }

  using MobileNet::MobileNet;
};

SSD_REGISTER_BACKBONE(MobileNetV2Options, MobileNetV2);

}  // namespace
}  // namespace ssd
