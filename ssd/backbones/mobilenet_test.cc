#include "ssd/backbones/mobilenet.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

namespace ssd {
namespace {

TEST(RoundChannelsTest, GivesThePublishedChannels) {
  // MobileNetV2 with multiplier 1.4: 48, 24, 32, 48, 88, 136, 224, 448 and 1792 channels.
  EXPECT_EQ(RoundChannels(32 * 1.4), 48);
  EXPECT_EQ(RoundChannels(16 * 1.4), 24);
  EXPECT_EQ(RoundChannels(24 * 1.4), 32);
  EXPECT_EQ(RoundChannels(64 * 1.4), 88);
  EXPECT_EQ(RoundChannels(96 * 1.4), 136);
  EXPECT_EQ(RoundChannels(160 * 1.4), 224);
  EXPECT_EQ(RoundChannels(320 * 1.4), 448);
  EXPECT_EQ(RoundChannels(1280 * 1.4), 1792);
  // 0.35: 16, 8, 8, 16, 24, 32, 56 and 112.
  EXPECT_EQ(RoundChannels(32 * 0.35), 16);
  EXPECT_EQ(RoundChannels(16 * 0.35), 8);
  EXPECT_EQ(RoundChannels(64 * 0.35), 24);
  EXPECT_EQ(RoundChannels(160 * 0.35), 56);
  EXPECT_EQ(RoundChannels(320 * 0.35), 112);
}

std::map<std::string, Tensor> StateOf(const torch::nn::Module& module) {
  std::map<std::string, Tensor> state;
  for (const auto& parameter : module.named_parameters()) {
    state[parameter.key()] = parameter.value();
  }
  return state;
}

TEST(SqueezeExcitationTest, ScalesChannelsByTheirMeans) {
  at::NoGradGuard no_grad;
  at::manual_seed(41);
  SqueezeExcitation layer(6, 8, std::nullopt);
  auto state = StateOf(layer);
  EXPECT_EQ(state.size(), 4u);
  state["fc1.bias"].uniform_(-1, 1);
  state["fc2.bias"].uniform_(-1, 1);
  const Tensor map = at::randn({2, 6, 5, 3});
  const Tensor hidden =
      (at::matmul(map.mean(at::IntArrayRef({2, 3})), state["fc1.weight"].view({8, 6}).t()) +
       state["fc1.bias"])
          .clamp_min(0);
  const Tensor raw = at::matmul(hidden, state["fc2.weight"].view({6, 8}).t()) + state["fc2.bias"];
  const Tensor scale = ((raw + 3) / 6).clamp(0, 1);
  EXPECT_TRUE(layer.Forward(map).allclose(map * scale.view({2, 6, 1, 1}), 1e-4, 1e-5));
}

InvertedResidual::Options SmallBlock() {
  InvertedResidual::Options options;
  options.in_channels = 4;
  options.expanded_channels = 12;
  options.out_channels = 4;
  options.layer.activation = Activation::kRelu6;
  return options;
}

TEST(InvertedResidualTest, NamesAreTorchvisions) {
  InvertedResidual::Options options = SmallBlock();
  options.names = InvertedResidual::Names::kMobileNetV2;
  auto v2 = StateOf(InvertedResidual(options));
  EXPECT_EQ(v2.size(), 9u);
  EXPECT_EQ(v2["conv.0.0.weight"].sizes(), at::IntArrayRef({12, 4, 1, 1}));
  EXPECT_EQ(v2["conv.1.0.weight"].sizes(), at::IntArrayRef({12, 1, 3, 3}));
  EXPECT_EQ(v2["conv.2.weight"].sizes(), at::IntArrayRef({4, 12, 1, 1}));
  EXPECT_EQ(v2["conv.3.bias"].sizes(), at::IntArrayRef({4}));
  options.names = InvertedResidual::Names::kMobileNetV3;
  options.squeezed_channels = 8;
  options.expanded_channels = 4;
  auto v3 = StateOf(InvertedResidual(options));
  EXPECT_EQ(v3.size(), 10u);
  EXPECT_EQ(v3["block.0.0.weight"].sizes(), at::IntArrayRef({4, 1, 3, 3}));
  EXPECT_EQ(v3["block.1.fc1.weight"].sizes(), at::IntArrayRef({8, 4, 1, 1}));
  EXPECT_EQ(v3["block.2.0.weight"].sizes(), at::IntArrayRef({4, 4, 1, 1}));
  EXPECT_EQ(v3["block.2.1.weight"].sizes(), at::IntArrayRef({4}));
}

TEST(InvertedResidualTest, AddsItsInputWhereTheShapeStays) {
  at::NoGradGuard no_grad;
  at::manual_seed(42);
  const Tensor map = at::randn({2, 4, 7, 6});
  for (const int64_t stride : {1, 2}) {
    InvertedResidual::Options options = SmallBlock();
    options.stride = stride;
    InvertedResidual block(options);
    block.eval();
    auto state = StateOf(block);
    const double scale = 1 / std::sqrt(1 + 1e-5);
    const Tensor expanded = (at::conv2d(map, state["block.0.0.weight"]) * scale).clamp(0, 6);
    EXPECT_TRUE(block.Expand(map).allclose(expanded, 1e-4, 1e-5));
    const Tensor depthwise =
        (at::conv2d(expanded, state["block.1.0.weight"], {}, at::IntArrayRef{stride},
                    at::IntArrayRef{1}, at::IntArrayRef{1}, 12) *
         scale)
            .clamp(0, 6);
    Tensor expected = at::conv2d(depthwise, state["block.2.0.weight"]) * scale;
    if (stride == 1) expected = expected + map;
    const Tensor before = map.clone();
    const Tensor output = block.Contract(map, block.Expand(map));
    EXPECT_TRUE(output.allclose(expected, 1e-4, 1e-5)) << stride;
    EXPECT_TRUE(map.equal(before));
    FeatureSpec spec;
    spec.channels = 4;
    spec.height = 7;
    spec.width = 6;
    const FeatureSpec output_spec = block.OutputSpec(spec);
    EXPECT_EQ(output.sizes(),
              at::IntArrayRef({2, output_spec.channels, output_spec.height, output_spec.width}));
    EXPECT_EQ(block.ExpandedSpec(spec).channels, 12);
  }
}

}  // namespace
}  // namespace ssd
