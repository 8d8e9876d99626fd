#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ssd/layers/convolution.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"

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
  EXPECT_TRUE(convolution->weight.requires_grad());
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
