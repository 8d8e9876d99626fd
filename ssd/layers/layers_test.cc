#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>

#include "ssd/layers/convolution.h"
#include "ssd/layers/convolution_block.h"
#include "ssd/layers/freeze.h"
#include "ssd/layers/l2_norm.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

TEST(WindowTest, SizesAreThoseOfTheConvolution) {
  at::NoGradGuard no_grad;
  for (const int64_t kernel : {1, 2, 3, 7}) {
    for (const int64_t stride : {1, 2, 3}) {
      for (const int64_t padding : {int64_t{0}, kernel / 2}) {
        for (const int64_t dilation : {1, 3}) {
          const Window window = {kernel, stride, padding, dilation};
          torch::nn::Conv2d convolution = MakeConvolution(3, 2, window, /*bias=*/true);
          const FeatureSpec spec = MoveWindow(window, ImageSpec({23, 38}), 2);
          const Tensor output = convolution(at::zeros({1, 3, 23, 38}));
          EXPECT_EQ(output.sizes(), at::IntArrayRef({1, spec.channels, spec.height, spec.width}));
        }
      }
    }
  }
}

TEST(WindowTest, CeilModeSizesAreThoseOfThePooling) {
  for (const int64_t kernel : {2, 3}) {
    for (const int64_t stride : {1, 2, 3}) {
      for (const int64_t padding : {0, 1}) {
        for (const bool ceil_mode : {false, true}) {
          for (int64_t size = 3; size <= 20; ++size) {
            const Window window = {kernel, stride, padding, 1, ceil_mode};
            const FeatureSpec spec = MoveWindow(window, ImageSpec({size, 40 - size}), 3);
            const Tensor output = at::max_pool2d(at::zeros({1, 3, size, 40 - size}), kernel, stride,
                                                 padding, 1, ceil_mode);
            EXPECT_EQ(output.sizes(), at::IntArrayRef({1, 3, spec.height, spec.width}))
                << kernel << stride << padding << ceil_mode << " " << size;
          }
        }
      }
    }
  }
  // Caffe's pool3 of SSD300: 75 cells become 38.
  EXPECT_EQ(MoveWindow({2, 2, 0, 1, true}, ImageSpec({75, 1}), 1).height, 38);
  EXPECT_EQ(MoveWindow({2, 2, 0, 1, true}, ImageSpec({75, 1}), 1).width, 1);
  EXPECT_EQ(MoveWindow({2, 2, 0, 1}, ImageSpec({75, 1}), 1).width, 0);
}

// The pixels that a cell's value depends on are those where the cell's gradient is not zero.
TEST(WindowTest, CentreAndReceptiveFieldAreWhereTheGradientIs) {
  const Window first = {7, 2, 3, 1};
  const Window second = {3, 2, 0, 2};
  const FeatureSpec spec = MoveWindow(second, MoveWindow(first, ImageSpec({61, 61}), 1), 1);
  Tensor image = at::ones({1, 3, 61, 61}).requires_grad_();
  torch::nn::Conv2d a = MakeConvolution(3, 1, first, false);
  torch::nn::Conv2d b = MakeConvolution(1, 1, second, false);
  at::Tensor(a->weight).detach().fill_(1);
  at::Tensor(b->weight).detach().fill_(1);
  const int64_t row = 5;
  const int64_t column = 6;
  b(a(image)).index({0, 0, row, column}).backward();
  const Tensor touched = image.grad().abs().sum(at::IntArrayRef({0, 1})).gt(0);
  const Tensor rows = touched.any(1).nonzero();
  const Tensor columns = touched.any(0).nonzero();
  const double top = static_cast<double>(rows[0].item<int64_t>());
  const double bottom = static_cast<double>(rows[-1].item<int64_t>()) + 1;
  const double left = static_cast<double>(columns[0].item<int64_t>());
  const double right = static_cast<double>(columns[-1].item<int64_t>()) + 1;
  EXPECT_EQ(bottom - top, spec.receptive_field);
  EXPECT_EQ(right - left, spec.receptive_field);
  EXPECT_EQ((top + bottom) / 2, spec.first_center_y + row * spec.stride_y);
  EXPECT_EQ((left + right) / 2, spec.first_center_x + column * spec.stride_x);
}

TEST(WindowTest, AWindowThatDoesNotFitLeavesNoCells) {
  const FeatureSpec spec = MoveWindow({3, 2, 0, 1}, ImageSpec({2, 9}), 1);
  EXPECT_EQ(spec.height, 0);
  EXPECT_EQ(spec.width, 4);
  EXPECT_EQ(MoveWindow({1, 1, 1, 1}, spec, 1).height, 0);
}

TEST(ConvolutionTest, InitialWeightsHaveTheirVariance) {
  at::manual_seed(3);
  torch::nn::Conv2d convolution = MakeConvolution(64, 128, {3, 1, 1, 1}, true);
  InitKaimingNormal(*convolution);
  EXPECT_NEAR(convolution->weight.var().item<double>(), 2.0 / (9 * 128), 0.02 * 2 / (9 * 128));
  EXPECT_EQ(convolution->bias.abs().max().item<double>(), 0);
  InitXavierUniform(*convolution);
  EXPECT_NEAR(convolution->weight.var().item<double>(), 2.0 / (9 * 192), 0.02 * 2 / (9 * 192));
  EXPECT_LE(convolution->weight.abs().max().item<double>(), std::sqrt(6.0 / (9 * 192)));
  EXPECT_EQ(convolution->bias.abs().max().item<double>(), 0);
  InitNormal(*convolution, 0.03);
  EXPECT_NEAR(convolution->weight.mean().item<double>(), 0, 5e-4);
  EXPECT_NEAR(convolution->weight.std().item<double>(), 0.03, 0.02 * 0.03);
  EXPECT_EQ(convolution->bias.abs().max().item<double>(), 0);
  EXPECT_TRUE(convolution->weight.requires_grad());
}

TEST(ConvolutionTest, AsManyGroupsAsChannelsSeeOneChannelEach) {
  at::NoGradGuard no_grad;
  torch::nn::Conv2d convolution = MakeConvolution(4, 4, {3, 1, 1, 1}, false, /*groups=*/4);
  EXPECT_EQ(convolution->weight.sizes(), at::IntArrayRef({4, 1, 3, 3}));
  Tensor maps = at::zeros({1, 4, 5, 5});
  maps.select(1, 2).fill_(1);
  const Tensor output = convolution(maps);
  for (const int64_t channel : {0, 1, 3}) {
    EXPECT_EQ(output.select(1, channel).abs().max().item<double>(), 0) << channel;
  }
  EXPECT_GT(output.select(1, 2).abs().max().item<double>(), 0);
}

// The standard deviation of a normal distribution that is cut off at two of its own is
// sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)) of it: 0.8796.
TEST(ConvolutionTest, TruncatedWeightsStayWithinTwoDeviations) {
  at::NoGradGuard no_grad;
  at::manual_seed(10);
  torch::nn::Conv2d convolution = MakeConvolution(64, 256, {3, 1, 1, 1}, /*bias=*/true);
  InitNormal(*convolution, 0.03, /*truncate=*/true);
  const Tensor weight = convolution->weight.to(at::kDouble);
  EXPECT_LE(weight.abs().max().item<double>(), 0.06 * (1 + 1e-5));
  EXPECT_GT(weight.abs().max().item<double>(), 0.059);
  EXPECT_NEAR(weight.mean().item<double>(), 0, 3e-4);
  EXPECT_NEAR(weight.std().item<double>(), 0.8796 * 0.03, 2e-4);
  // Within one deviation lies 0.6827 / 0.9545 of it.
  EXPECT_NEAR(weight.abs().lt(0.03).to(at::kDouble).mean().item<double>(), 0.7152, 5e-3);
  EXPECT_EQ(convolution->bias.abs().max().item<double>(), 0);
  EXPECT_TRUE(convolution->weight.requires_grad());
  InitNormal(*convolution, 0.03);
  EXPECT_GT(convolution->weight.abs().max().item<double>(), 0.09);
}

TEST(ConvolutionBlockTest, IsConvolutionNormActivation) {
  at::NoGradGuard no_grad;
  at::manual_seed(6);
  ConvolutionBlock::Options options;
  options.in_channels = 4;
  options.out_channels = 6;
  options.window = {3, 2, 1, 1};
  options.groups = 2;
  const Tensor maps = at::randn({2, 4, 9, 7}) * 8;
  for (const Activation activation :
       {Activation::kNone, Activation::kRelu, Activation::kRelu6, Activation::kHardSwish}) {
    options.activation = activation;
    ConvolutionBlock block(options);
    block.eval();
    const auto state = block.named_parameters();
    EXPECT_EQ(state.size(), 3);
    state["1.weight"].uniform_(0.5, 2);
    state["1.bias"].uniform_(-1, 1);
    const Tensor x = at::conv2d(maps, state["0.weight"], {}, 2, 1, 1, 2) / std::sqrt(1 + 1e-5) *
                         state["1.weight"].view({1, 6, 1, 1}) +
                     state["1.bias"].view({1, 6, 1, 1});
    Tensor expected = x;
    if (activation == Activation::kRelu) expected = x.clamp_min(0);
    if (activation == Activation::kRelu6) expected = x.clamp(0, 6);
    if (activation == Activation::kHardSwish) expected = x * (x + 3).clamp(0, 6) / 6;
    const Tensor output = block.Forward(maps);
    EXPECT_TRUE(output.allclose(expected, 1e-4, 1e-4));
    const FeatureSpec spec = block.OutputSpec(MoveWindow({1, 1, 0, 1}, ImageSpec({9, 7}), 4));
    EXPECT_EQ(output.sizes(), at::IntArrayRef({2, spec.channels, spec.height, spec.width}));
  }
}

// Activations that work in place must leave what the backward pass needs.
TEST(ConvolutionBlockTest, GradientsAreFiniteDifferences) {
  at::manual_seed(7);
  ConvolutionBlock::Options options;
  options.in_channels = 2;
  options.out_channels = 3;
  options.window = {3, 1, 1, 1};
  for (const Activation activation :
       {Activation::kNone, Activation::kRelu, Activation::kRelu6, Activation::kHardSwish}) {
    options.activation = activation;
    const auto block = std::make_shared<ConvolutionBlock>(options);
    block->eval();
    block->to(at::kDouble);
    Tensor maps = (at::randn({1, 2, 4, 4}, at::kDouble) * 4).requires_grad_();
    const Tensor weights = at::randn({1, 3, 4, 4}, at::kDouble);
    (block->Forward(maps) * weights).sum().backward();
    at::NoGradGuard no_grad;
    const Tensor direction = at::randn_like(maps);
    const double h = 1e-6;
    const Tensor change =
        block->Forward(maps + h * direction) - block->Forward(maps - h * direction);
    const double expected = (change * weights).sum().item<double>() / (2 * h);
    EXPECT_NEAR((maps.grad() * direction).sum().item<double>(), expected,
                1e-5 * std::abs(expected) + 1e-6);
  }
}

TEST(NormTest, BatchNormNormalisesByTheBatchAndTracksIt) {
  at::manual_seed(4);
  Norm norm(NormKind::kBatch, 6);
  const Tensor maps = at::randn({4, 6, 5, 7}) * 3 + 2;
  const Tensor mean = maps.mean(at::IntArrayRef({0, 2, 3}));
  const Tensor variance = maps.var(at::IntArrayRef({0, 2, 3}), /*unbiased=*/false);
  const Tensor expected =
      (maps - mean.view({1, 6, 1, 1})) / (variance.view({1, 6, 1, 1}) + 1e-5).sqrt();
  EXPECT_TRUE(norm.Forward(maps).allclose(expected, 1e-4, 1e-5));
  const auto buffers = norm.named_buffers();
  EXPECT_TRUE(buffers["running_mean"].allclose(0.1 * mean));
  EXPECT_EQ(buffers["num_batches_tracked"].item<int64_t>(), 1);
  norm.eval();
  const Tensor before = buffers["running_var"].clone();
  norm.Forward(maps);
  EXPECT_TRUE(buffers["running_var"].equal(before));
  EXPECT_EQ(buffers["num_batches_tracked"].item<int64_t>(), 1);
}

TEST(NormTest, OneValueAChannelLeavesTheRunningAveragesAlone) {
  Norm norm(NormKind::kBatch, 3);
  const Tensor maps = at::tensor({1.0f, -2.0f, 5.0f}).view({1, 3, 1, 1});
  EXPECT_TRUE(norm.Forward(maps).allclose(maps, 1e-4));
  EXPECT_TRUE(norm.named_buffers()["running_mean"].equal(at::zeros({3})));
  EXPECT_TRUE(norm.named_buffers()["running_var"].equal(at::ones({3})));
}

TEST(NormTest, FrozenBatchNormIsAConstantAffineMap) {
  Norm norm(NormKind::kFrozenBatch, 2);
  EXPECT_TRUE(norm.parameters().empty());
  auto buffers = norm.named_buffers();
  EXPECT_EQ(buffers.size(), 4);
  buffers["weight"].copy_(at::tensor({2.0, 3.0}));
  buffers["bias"].copy_(at::tensor({1.0, -1.0}));
  buffers["running_mean"].copy_(at::tensor({5.0, 6.0}));
  buffers["running_var"].copy_(at::tensor({4.0, 9.0}));
  norm.train();
  Tensor maps = at::full({3, 2, 1, 1}, 7.0).requires_grad_();
  const Tensor output = norm.Forward(maps);
  EXPECT_TRUE(output.select(1, 0).allclose(at::full({3, 1, 1}, 3.0), 1e-4));
  EXPECT_TRUE(output.select(1, 1).allclose(at::full({3, 1, 1}, 0.0), 1e-4, 1e-4));
  EXPECT_EQ(buffers["running_mean"][0].item<double>(), 5);
  output.sum().backward();
  EXPECT_TRUE(maps.grad().select(1, 0).allclose(at::ones({3, 1, 1}), 1e-4));
}

TEST(NormTest, ConstantsAreWhereTheFormulaHasThem) {
  Norm norm(NormKind::kBatch, 1, {/*epsilon=*/3.0, /*momentum=*/0.25});
  const Tensor maps = at::tensor({-1.0f, 1.0f}).view({2, 1, 1, 1});
  // Variance 1 of the batch, 2 unbiased; 1 / sqrt(1 + 3).
  EXPECT_TRUE(norm.Forward(maps).allclose(maps * 0.5));
  EXPECT_FLOAT_EQ(norm.named_buffers()["running_var"].item<float>(), 0.75f + 0.25f * 2);
  norm.eval();
  EXPECT_TRUE(norm.Forward(maps).allclose(maps / std::sqrt(1.25 + 3)));
}

TEST(FreezeTest, LeavesOutGradientsAndRunningAverages) {
  at::manual_seed(8);
  ConvolutionBlock::Options options;
  options.in_channels = 3;
  options.out_channels = 4;
  const auto outer = std::make_shared<torch::nn::Module>();
  const auto frozen = outer->register_module("0", std::make_shared<ConvolutionBlock>(options));
  options.in_channels = 4;
  const auto trained = outer->register_module("1", std::make_shared<ConvolutionBlock>(options));
  Freeze(*frozen);
  outer->train();
  for (const auto& parameter : outer->named_parameters()) {
    EXPECT_EQ(parameter.value().requires_grad(), parameter.key()[0] == '1') << parameter.key();
  }
  const auto buffers = outer->named_buffers();
  Tensor images = at::randn({2, 3, 4, 4}).requires_grad_();
  trained->Forward(frozen->Forward(images)).square().sum().backward();
  EXPECT_TRUE(images.grad().defined());
  EXPECT_TRUE(buffers["0.1.running_mean"].eq(0).all().item<bool>());
  EXPECT_EQ(buffers["0.1.num_batches_tracked"].item<int64_t>(), 0);
  EXPECT_EQ(buffers["1.1.num_batches_tracked"].item<int64_t>(), 1);
  EXPECT_TRUE(outer->named_parameters()["1.0.weight"].grad().defined());
  EXPECT_FALSE(outer->named_parameters()["0.0.weight"].grad().defined());
}

TEST(L2NormTest, IsCaffesTorchvisionsAndAmdegroots) {
  const rapidjson::Value& c = golden::File("l2norm.json")["l2norm"];
  Tensor maps = golden::Numbers(c["x"]).to(at::kFloat).requires_grad_();
  L2Norm norm(5, 20);
  EXPECT_TRUE(norm.parameters()[0].eq(20).all().item<bool>());
  norm.parameters()[0].detach().copy_(golden::Numbers(c["scale"]));
  const Tensor output = norm.Forward(maps);
  for (const char* peer : {"caffe_y", "torchvision_F_normalize_y", "amdegroot_y"}) {
    golden::ExpectNear(output, golden::Numbers(c[peer]), std::string("l2norm ") + peer);
  }
  output.backward(golden::Numbers(c["topdiff"]).to(at::kFloat));
  golden::ExpectNear(maps.grad(), golden::Numbers(c["torch_dx"]), "l2norm gradient", 1e-5, 1e-5);
  // dy_c / ds_c = y_c / s_c.
  const Tensor expected = (golden::Numbers(c["caffe_y"]) * golden::Numbers(c["topdiff"]))
                              .sum(at::IntArrayRef({0, 2, 3})) /
                          golden::Numbers(c["scale"]);
  golden::ExpectNear(norm.parameters()[0].grad(), expected, "l2norm gradient of scale", 1e-5, 1e-5);
}

TEST(L2NormTest, CellsOfZerosStayZeroAndFinite) {
  L2Norm norm(6, 20);
  Tensor maps = at::zeros({2, 6, 3, 3}).requires_grad_();
  const Tensor output = norm.Forward(maps);
  EXPECT_EQ(output.abs().max().item<double>(), 0);
  output.sum().backward();
  EXPECT_TRUE(maps.grad().isfinite().all().item<bool>());
}

TEST(L2NormTest, KeepsTypeAndLayout) {
  at::NoGradGuard no_grad;
  at::manual_seed(9);
  L2Norm norm(64, 20);
  const Tensor maps = at::randn({2, 64, 5, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor output = norm.Forward(maps);
  EXPECT_TRUE(output.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(output.square().sum(1).sqrt().allclose(at::full({2, 5, 4}, 20.0)));
  const Tensor rounded = norm.Forward(maps.to(at::kBFloat16));
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(rounded.to(at::kFloat).allclose(output, 1e-2, 1e-2));
}

// One channel a group and one cell: nothing is left of the map.
TEST(NormTest, GroupsOfOneNumberAreBlank) {
  at::manual_seed(11);
  EXPECT_TRUE(Norm::BlanksOneCell(NormKind::kGroup, 32));
  EXPECT_FALSE(Norm::BlanksOneCell(NormKind::kGroup, 64));
  EXPECT_FALSE(Norm::BlanksOneCell(NormKind::kBatch, 8));
  const auto largest = [](int64_t channels) {
    Norm norm(NormKind::kGroup, channels);
    return norm.Forward(at::randn({2, channels, 1, 1})).abs().max().item<double>();
  };
  EXPECT_LT(largest(32), 1e-3);
  EXPECT_GT(largest(64), 0.9);
}

TEST(NormTest, GroupNormIsIndependentBetweenImages) {
  at::manual_seed(5);
  Norm norm(NormKind::kGroup, 64);
  const Tensor maps = at::randn({2, 64, 4, 4});
  const Tensor together = norm.Forward(maps);
  EXPECT_TRUE(together.slice(0, 1, 2).allclose(norm.Forward(maps.slice(0, 1, 2)), 1e-5, 1e-6));
  EXPECT_LT(together.view({2, 32, -1}).mean(-1).abs().max().item<double>(), 1e-5);
  EXPECT_TRUE(Norm::Fits(NormKind::kGroup, 24));
  EXPECT_FALSE(Norm::Fits(NormKind::kGroup, 48));
}

}  // namespace
}  // namespace ssd
