#include "ssd/core/boxes.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ssd/core/vector_exp.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

// N boxes with corners in [-0.2, 1.2] and positive sizes.
at::Tensor RandomCorners(int64_t n) {
  const at::Tensor a = at::rand({n, 2}) * 1.4 - 0.2;
  return at::cat({a, a + at::rand({n, 2}) + 1e-3}, 1);
}

TEST(Boxes, FormsAreInverse) {
  at::manual_seed(1);
  const at::Tensor corners = RandomCorners(1000);
  EXPECT_TRUE(at::allclose(CornersFromCenters(CentersFromCorners(corners)), corners, 0, 1e-6));
  const at::Tensor centers = at::tensor({0.5, 0.25, 0.4, 0.1});
  EXPECT_TRUE(at::allclose(CornersFromCenters(centers), at::tensor({0.3, 0.2, 0.7, 0.3})));
}

TEST(Boxes, AreasOfInvertedBoxesAreZero) {
  const at::Tensor boxes =
      at::tensor({0.0, 0.0, 2.0, 3.0, 2.0, 0.0, 0.0, 3.0, 1.0, 1.0, 1.0, 4.0, 2.0, 2.0, 1.0, 1.0})
          .view({4, 4});
  EXPECT_TRUE(at::equal(BoxAreas(boxes), at::tensor({6.0, 0.0, 0.0, 0.0})));
}

TEST(Boxes, IouEqualsPeers) {
  const auto& file = golden::File("boxcoder.json");
  const at::Tensor anchors = golden::Numbers(file["priors"]).to(at::kFloat).narrow(0, 0, 8);
  const at::Tensor truths = golden::Numbers(file["gt"]).to(at::kFloat).narrow(0, 0, 8);
  const at::Tensor iou = PairwiseIou(anchors, truths);
  for (const char* peer : {"caffe_normalized", "torchvision"}) {
    golden::ExpectNear(iou, golden::Numbers(file["iou"][peer]), std::string("iou/") + peer);
  }
}

TEST(Boxes, IouProperties) {
  at::manual_seed(2);
  const at::Tensor a = at::cat({RandomCorners(60), at::zeros({2, 4})});
  const at::Tensor b = at::cat({RandomCorners(50), a.narrow(0, 0, 5)});
  const at::Tensor iou = PairwiseIou(a, b);
  EXPECT_TRUE(at::equal(iou, PairwiseIou(b, a).t()));
  EXPECT_GE(iou.min().item<float>(), 0);
  EXPECT_LE(iou.max().item<float>(), 1);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(iou[i][50 + i].item<float>(), 1);
  // Boxes without area overlap nothing, not even themselves.
  EXPECT_EQ(PairwiseIou(a, a)[60][61].item<float>(), 0);
  // A batch dimension changes nothing.
  EXPECT_TRUE(at::equal(PairwiseIou(at::stack({a, a}), b)[1], iou));
  // Independent of scale by powers of two.
  EXPECT_TRUE(at::equal(PairwiseIou(a * 4, b * 4), iou));
}

TEST(Boxes, AlignedIouIsTheDiagonal) {
  at::manual_seed(5);
  const at::Tensor a = at::cat({RandomCorners(40), at::zeros({2, 4})});
  const at::Tensor b = at::cat({RandomCorners(40), at::zeros({1, 4}), at::ones({1, 4})});
  const at::Tensor iou = AlignedIou(a, b);
  EXPECT_TRUE(at::equal(iou, PairwiseIou(a, b).diagonal()));
  const BoxOverlap overlap = AlignedOverlap(a, b);
  EXPECT_TRUE(
      at::allclose(overlap.intersection + overlap.union_area, BoxAreas(a) + BoxAreas(b), 0, 1e-6));
  // One box against many; any number of dimensions in front.
  EXPECT_TRUE(at::equal(AlignedIou(a[3], b), PairwiseIou(a.narrow(0, 3, 1), b)[0]));
  EXPECT_TRUE(at::equal(AlignedIou(at::stack({a, b}), at::stack({b, a}))[0], iou));
}

// Of a box whose left half lies in a larger one it is a half, whatever the larger one's size.
TEST(Boxes, CoverageIsTheShareOfTheSecond) {
  const at::Tensor a = at::tensor({-9.0f, -9.0f, 1.0f, 9.0f, 0.0f, 0.0f, 0.5f, 0.5f}).view({2, 4});
  const at::Tensor b =
      at::tensor({0.0f, 0.0f, 2.0f, 2.0f, 3.0f, 0.0f, 4.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f})
          .view({3, 4});
  const at::Tensor share = PairwiseCoverage(a, b);
  EXPECT_TRUE(at::equal(share, at::tensor({0.5f, 0.0f, 0.0f, 0.0625f, 0.0f, 0.0f}).view({2, 3})))
      << share;
  at::manual_seed(6);
  const at::Tensor c = RandomCorners(30);
  const at::Tensor d = RandomCorners(30);
  const at::Tensor random = PairwiseCoverage(c, d);
  EXPECT_TRUE((random >= PairwiseIou(c, d) * (1 - 1e-6)).all().item<bool>());
  EXPECT_LE(random.max().item<float>(), 1.0f + 1e-6f);
  for (int64_t i = 0; i < 30; ++i) {
    for (int64_t j = 0; j < 30; ++j) {
      const float* const p = c.const_data_ptr<float>() + 4 * i;
      const float* const q = d.const_data_ptr<float>() + 4 * j;
      EXPECT_FLOAT_EQ(Coverage(p[0], p[1], p[2], p[3], q[0], q[1], q[2], q[3],
                               BoxArea({q[0], q[1], q[2], q[3]})),
                      random[i][j].item<float>());
    }
  }
}

TEST(Boxes, ScalarIouEqualsTensorIou) {
  at::manual_seed(3);
  const at::Tensor a = RandomCorners(40);
  const at::Tensor b = RandomCorners(40);
  const at::Tensor iou = PairwiseIou(a, b);
  for (int64_t i = 0; i < 40; ++i) {
    for (int64_t j = 0; j < 40; ++j) {
      const float* const p = a.const_data_ptr<float>() + 4 * i;
      const float* const q = b.const_data_ptr<float>() + 4 * j;
      EXPECT_FLOAT_EQ(Iou(p[0], p[1], p[2], p[3], BoxArea({p[0], p[1], p[2], p[3]}), q[0], q[1],
                          q[2], q[3], BoxArea({q[0], q[1], q[2], q[3]})),
                      iou[i][j].item<float>());
      EXPECT_FLOAT_EQ(Iou({p[0], p[1], p[2], p[3]}, {q[0], q[1], q[2], q[3]}),
                      iou[i][j].item<float>());
    }
  }
}

TEST(Boxes, IouIsDifferentiable) {
  at::manual_seed(4);
  const at::Tensor a = RandomCorners(6).to(at::kDouble).requires_grad_(true);
  const at::Tensor b = RandomCorners(5).to(at::kDouble);
  PairwiseIou(a, b).sum().backward();
  constexpr double kStep = 1e-6;
  for (int64_t i = 0; i < 24; ++i) {
    const at::Tensor step = at::zeros({24}, at::kDouble).index_fill_(0, at::tensor(i), kStep);
    const at::Tensor moved = step.view({6, 4});
    const double slope =
        (PairwiseIou(a.detach() + moved, b).sum() - PairwiseIou(a.detach() - moved, b).sum())
            .item<double>() /
        (2 * kStep);
    EXPECT_NEAR(a.grad().view({24})[i].item<double>(), slope, 1e-6);
  }
}

TEST(VectorExp, EqualsExp) {
  for (double x = -87; x <= 88; x += 0.00137) {
    const float rounded = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(rounded));
    ASSERT_NEAR(VectorExp(rounded), expected, 2e-7 * expected) << x;
  }
  EXPECT_EQ(VectorExp(0), 1);
}

}  // namespace
}  // namespace ssd
