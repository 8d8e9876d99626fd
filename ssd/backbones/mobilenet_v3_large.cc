#include <array>
#include <memory>

#include "ssd/backbones/backbone.h"
#include "ssd/backbones/frozen_stages.h"
#include "ssd/backbones/mobilenet.h"
#include "ssd/layers/convolution_block.h"

namespace ssd {
namespace {

// A row of the paper's table 1: exp size, #out, k, SE, NL, s.
struct Block {
  int64_t kernel;
  double expanded_channels;
  double channels;
  bool squeeze_excitation;
  Activation activation;
  int64_t stride;
};

constexpr Activation kRe = Activation::kRelu;
constexpr Activation kHs = Activation::kHardSwish;

constexpr std::array<Block, 15> kBlocks = {{
    {3, 16, 16, false, kRe, 1},
    {3, 64, 24, false, kRe, 2},
    {3, 72, 24, false, kRe, 1},
    {5, 72, 40, true, kRe, 2},
    {5, 120, 40, true, kRe, 1},
    {5, 120, 40, true, kRe, 1},
    {3, 240, 80, false, kHs, 2},
    {3, 200, 80, false, kHs, 1},
    {3, 184, 80, false, kHs, 1},
    {3, 184, 80, false, kHs, 1},
    {3, 480, 112, true, kHs, 1},
    {3, 672, 112, true, kHs, 1},
    {5, 672, 160, true, kHs, 2},
    {5, 960, 160, true, kHs, 1},
    {5, 960, 160, true, kHs, 1},
}};
// C4: the first block of stride 32. Behind its expansion the tail begins.
constexpr size_t kTappedBlock = 12;
// How many blocks each stage ends with.
constexpr std::array<size_t, 5> kStageEnds = {1, 3, 6, 12, 15};
constexpr double kStemChannels = 16;
// Of the last convolution: times its input's channels.
constexpr int64_t kLastExpansion = 6;
// Of squeeze-and-excitation (section 5.3).
constexpr int64_t kSqueeze = 4;

// MobileNetV3-Large (Howard et al., arXiv:1905.02244) without its classifier:
// `backbone { mobilenet_v3_large { reduced_tail: true } }`. All names and shapes in its state are
// torchvision's: features.0.0, features.1.block.0.0, ..., features.16.1. torchvision's SSDLite has
// features.N below 13 as features.0.N, block K of features.13 as features.0.13 (K = 0) and
// features.1.0.K, and the rest as features.1.1 to features.1.3.
class MobileNetV3Large final : public MobileNet {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const MobileNetV3LargeOptions& options,
                                                          const BackboneContext& context) {
    SSD_RETURN_IF_ERROR(CheckOptions("mobilenet_v3_large", options));
    const int num_stages = static_cast<int>(kStageEnds.size());
    Options network;
    if (options.has_frozen_stages()) {
      SSD_RETURN_IF_ERROR(
          CheckFrozenStages("mobilenet_v3_large", options.frozen_stages(), num_stages));
      network.frozen_blocks = options.frozen_stages() == 0
                                  ? size_t{0}
                                  : kStageEnds[static_cast<size_t>(options.frozen_stages()) - 1];
    }
    const double width = options.width_multiplier();
    const double tail = options.reduced_tail() ? 0.5 : 1;
    const ConvolutionBlock::Options layer = LayerOptions(options);
    network.stem = layer;
    network.stem.activation = kHs;
    network.stem.in_channels = 3;
    int64_t channels = RoundChannels(kStemChannels * width);
    network.stem.out_channels = channels;
    network.tapped_block = kTappedBlock;
    for (size_t i = 0; i < kBlocks.size(); ++i) {
      const Block& row = kBlocks[i];
      InvertedResidual::Options block;
      block.in_channels = channels;
      block.expanded_channels =
          RoundChannels(row.expanded_channels * (i > kTappedBlock ? tail : 1) * width);
      block.out_channels = RoundChannels(row.channels * (i >= kTappedBlock ? tail : 1) * width);
      block.kernel = row.kernel;
      block.stride = row.stride;
      if (row.squeeze_excitation) {
        block.squeezed_channels =
            RoundChannels(static_cast<double>(block.expanded_channels / kSqueeze));
      }
      block.names = InvertedResidual::Names::kMobileNetV3;
      block.layer = layer;
      block.layer.activation = row.activation;
      network.blocks.push_back(block);
      channels = block.out_channels;
    }
    network.last = layer;
    network.last.activation = kHs;
    network.last.in_channels = channels;
    network.last.out_channels = channels * kLastExpansion;
    return std::make_unique<MobileNetV3Large>(network);
  }

  using MobileNet::MobileNet;
};

SSD_REGISTER_BACKBONE(MobileNetV3LargeOptions, MobileNetV3Large);

}  // namespace
}  // namespace ssd
