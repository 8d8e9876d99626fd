#include "ssd/model/multibox_head.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace ssd {
namespace {

FeatureSpec Level(int64_t channels, int64_t height, int64_t width) {
  FeatureSpec spec;
  spec.channels = channels;
  spec.height = height;
  spec.width = width;
  return spec;
}

std::vector<Tensor> RandomMaps(const std::vector<FeatureSpec>& levels) {
  std::vector<Tensor> maps;
  for (const FeatureSpec& level : levels) {
    maps.push_back(at::randn({2, level.channels, level.height, level.width}));
  }
  return maps;
}

std::map<std::string, Tensor> StateOf(const MultiboxHead& head) {
  std::map<std::string, Tensor> state;
  for (const auto& parameter : head.named_parameters()) state[parameter.key()] = parameter.value();
  return state;
}

TEST(MultiboxHeadTest, SeparableIsDepthwiseNormRelu6Pointwise) {
  at::NoGradGuard no_grad;
  at::manual_seed(51);
  const std::vector<FeatureSpec> levels = {Level(4, 5, 3), Level(6, 2, 2)};
  const std::vector<int64_t> anchors_per_cell = {2, 3};
  HeadConfig config;
  config.set_separable(true);
  config.set_norm_epsilon(0.5);
  MultiboxHead head(levels, anchors_per_cell, /*num_classes=*/3, config);
  head.eval();
  auto state = StateOf(head);
  EXPECT_EQ(state.size(), 2u * 2 * 5);
  for (auto& [name, tensor] : state) {
    if (tensor.dim() == 4) tensor.mul_(30);  // so that ReLU6 has something to cut
  }
  const std::vector<Tensor> maps = RandomMaps(levels);
  const Predictions predictions = head.Forward(maps);
  EXPECT_EQ(predictions.box_codes.sizes(), at::IntArrayRef({2, 15 * 2 + 4 * 3, 4}));
  EXPECT_EQ(predictions.class_logits.sizes(), at::IntArrayRef({2, 15 * 2 + 4 * 3, 4}));
  const std::string level = "class_logits.1.";
  const Tensor depthwise = (at::conv2d(maps[1], state[level + "0.0.weight"], {}, at::IntArrayRef{1},
                                       at::IntArrayRef{1}, at::IntArrayRef{1}, 6) /
                            std::sqrt(1.5))
                               .clamp(0, 6);
  const Tensor expected = at::conv2d(depthwise, state[level + "1.weight"], state[level + "1.bias"])
                              .permute({0, 2, 3, 1})
                              .reshape({2, 12, 4});
  EXPECT_TRUE(predictions.class_logits.slice(1, 30).allclose(expected, 1e-4, 1e-4));
}

TEST(MultiboxHeadTest, InitialWeightsAreAsTheConfigHasThem) {
  const std::vector<FeatureSpec> levels = {Level(64, 3, 3)};
  const std::vector<int64_t> anchors_per_cell = {6};
  const auto largest = [&](const HeadConfig& config) {
    at::manual_seed(53);
    const MultiboxHead head(levels, anchors_per_cell, /*num_classes=*/9, config);
    double size = 0;
    for (const auto& [name, tensor] : StateOf(head)) {
      if (tensor.dim() == 4) size = std::max(size, tensor.abs().max().item<double>());
    }
    return size;
  };
  HeadConfig config;
  // Xavier's bound: sqrt(6 / (9 (64 + 24))).
  EXPECT_LT(largest(config), 0.0871);
  config.set_initial_standard_deviation(0.03);
  EXPECT_GT(largest(config), 0.09);  // beyond three deviations
  for (const bool separable : {false, true}) {
    config.set_separable(separable);
    config.set_truncate_initial_weights(true);
    EXPECT_LE(largest(config), 0.06 * (1 + 1e-5));
    EXPECT_GT(largest(config), 0.055);
  }
  // A separable head's own.
  HeadConfig own;
  own.set_separable(true);
  HeadConfig same = own;
  same.set_initial_standard_deviation(0.03);
  EXPECT_EQ(largest(own), largest(same));
}

TEST(MultiboxHeadTest, SharedPredictsAlikeOnEveryLevel) {
  at::NoGradGuard no_grad;
  at::manual_seed(52);
  const std::vector<FeatureSpec> levels = {Level(4, 3, 3), Level(4, 3, 3), Level(4, 1, 2)};
  const std::vector<int64_t> anchors_per_cell = {2, 2, 2};
  HeadConfig config;
  config.set_shared(true);
  MultiboxHead head(levels, anchors_per_cell, 3, config);
  const auto state = StateOf(head);
  EXPECT_EQ(state.size(), 4u);
  EXPECT_EQ(state.count("box_codes.0.weight"), 1u);
  EXPECT_EQ(state.count("class_logits.0.bias"), 1u);
  std::vector<Tensor> maps = RandomMaps(levels);
  maps[1] = maps[0];
  const Predictions predictions = head.Forward(maps);
  EXPECT_EQ(predictions.class_logits.size(1), 18 + 18 + 4);
  EXPECT_TRUE(
      predictions.class_logits.slice(1, 0, 18).equal(predictions.class_logits.slice(1, 18, 36)));
  EXPECT_TRUE(predictions.box_codes.slice(1, 0, 18).equal(predictions.box_codes.slice(1, 18, 36)));
}

TEST(MultiboxHeadTest, SigmoidsHaveNoBackgroundAndStartAtTheirPrior) {
  at::NoGradGuard no_grad;
  const std::vector<FeatureSpec> levels = {Level(4, 3, 3), Level(8, 1, 1)};
  const std::vector<int64_t> anchors_per_cell = {2, 5};
  HeadConfig config;
  config.set_activation(HeadConfig::SIGMOID);
  EXPECT_EQ(MultiboxHead::LogitsPerAnchor(config, 7), 7);
  EXPECT_EQ(MultiboxHead::LogitsPerAnchor(HeadConfig(), 7), 8);
  config.set_prior_probability(0.01);
  for (const bool separable : {false, true}) {
    config.set_separable(separable);
    MultiboxHead head(levels, anchors_per_cell, 7, config);
    head.eval();
    // A black map leaves the biases alone.
    const std::vector<Tensor> maps = {at::zeros({1, 4, 3, 3}), at::zeros({1, 8, 1, 1})};
    const Predictions predictions = head.Forward(maps);
    EXPECT_EQ(predictions.class_logits.sizes(), at::IntArrayRef({1, 18 + 5, 7}));
    EXPECT_TRUE(predictions.class_logits.sigmoid().allclose(at::full({1, 23, 7}, 0.01)));
    EXPECT_EQ(predictions.box_codes.abs().max().item<double>(), 0);
  }
}

}  // namespace
}  // namespace ssd
