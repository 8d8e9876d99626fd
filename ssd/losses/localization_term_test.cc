#include "ssd/losses/localization_term.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ssd/core/boxes.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

const LocalizationTerm::Kind kBoxKinds[] = {LocalizationTerm::IOU, LocalizationTerm::GIOU,
                                            LocalizationTerm::DIOU, LocalizationTerm::CIOU};

Tensor Box(double x0, double y0, double x1, double y1) {
  return at::tensor({x0, y0, x1, y1}, at::kDouble);
}

double Distance(const Tensor& box, const Tensor& truth, LocalizationTerm::Kind kind) {
  return BoxDistance(box, truth, kind).item<double>();
}

TEST(LocalizationTerm, CodeTermsEqualTheirFormulas) {
  const auto& file = golden::File("smooth_l1.json")["smooth_l1"];
  const Tensor off = golden::Numbers(file["d"]).to(at::kFloat);
  const int64_t count = off.size(0);
  Targets targets;
  targets.labels = at::ones({1, count}, at::kLong);
  targets.box_codes = at::zeros({1, count, 4});
  const auto of = [&](LocalizationTerm::Kind kind, double beta) {
    // The second code of every anchor is off.
    const Tensor codes = at::zeros({1, count, 4});
    codes.select(2, 1).copy_(off);
    return LocalizationPerAnchor(codes, targets, nullptr, kind, beta)[0];
  };
  golden::ExpectNear(of(LocalizationTerm::SMOOTH_L1, 1), golden::Numbers(file["beta1"]),
                     "smooth L1, beta 1");
  golden::ExpectNear(of(LocalizationTerm::SMOOTH_L1, 1.0 / 9), golden::Numbers(file["beta_1_9"]),
                     "smooth L1, beta 1/9");
  golden::ExpectNear(of(LocalizationTerm::L1, 1), golden::Numbers(file["beta0"]), "L1");
  golden::ExpectNear(of(LocalizationTerm::L2, 1), off.to(at::kDouble).square() / 2, "L2");
  // A sum over the four codes.
  const Tensor codes = at::tensor({3.0f, -0.5f, 0.0f, 1.0f}).view({1, 1, 4});
  const Targets one{at::ones({1, 1}, at::kLong), at::zeros({1, 1, 4}), Tensor()};
  EXPECT_FLOAT_EQ(
      LocalizationPerAnchor(codes, one, nullptr, LocalizationTerm::SMOOTH_L1, 1).item<float>(),
      2.5f + 0.125f + 0.5f);
}

// torchvision's published tests of its GIoU, DIoU and CIoU losses (test_ops.py).
TEST(LocalizationTerm, BoxTermsEqualTorchvisionsTests) {
  const Tensor box1 = Box(-1, -1, 1, 1);
  const Tensor box2 = Box(0, 0, 1, 1);
  const Tensor box3 = Box(0, 1, 1, 2);
  const Tensor box4 = Box(1, 1, 2, 2);
  EXPECT_NEAR(Distance(box1, box1, LocalizationTerm::GIOU), 0, 1e-9);
  EXPECT_NEAR(Distance(box1, box2, LocalizationTerm::GIOU), 0.75, 1e-9);
  EXPECT_NEAR(Distance(box2, box3, LocalizationTerm::GIOU), 1, 1e-9);
  EXPECT_NEAR(Distance(box2, box4, LocalizationTerm::GIOU), 1.5, 1e-9);
  for (const auto kind : {LocalizationTerm::DIOU, LocalizationTerm::CIOU}) {
    EXPECT_NEAR(Distance(box1, box1, kind), 0, 1e-9);
    EXPECT_NEAR(Distance(box1, box2, kind), 0.8125, 1e-9);
    EXPECT_NEAR(Distance(box1, box3, kind), 1.1923, 1e-4);
    EXPECT_NEAR(Distance(box1, box4, kind), 1.25, 1e-9);
  }
}

// A lying and a standing box with a corner in common.
TEST(LocalizationTerm, BoxTermsEqualTheirClosedForms) {
  const Tensor lying = Box(0, 0, 0.4, 0.2);
  const Tensor standing = Box(0, 0, 0.2, 0.4);
  const double iou = 0.04 / 0.12;
  const double apart = 0.02 / 0.32;  // of the centres, over the diagonal of what encloses both
  const double turn = std::atan(2.0) - std::atan(0.5);
  const double shape = 4 / (M_PI * M_PI) * turn * turn;
  const double weight = shape / (1 - iou + shape);
  EXPECT_NEAR(Distance(lying, standing, LocalizationTerm::IOU), 1 - iou, 1e-12);
  EXPECT_NEAR(Distance(lying, standing, LocalizationTerm::GIOU), 1 - iou + 0.04 / 0.16, 1e-12);
  EXPECT_NEAR(Distance(lying, standing, LocalizationTerm::DIOU), 1 - iou + apart, 1e-12);
  EXPECT_NEAR(Distance(lying, standing, LocalizationTerm::CIOU), 1 - iou + apart + weight * shape,
              1e-12);
  // Two unit squares, one apart.
  const Tensor left = Box(0, 0, 1, 1);
  const Tensor right = Box(2, 0, 3, 1);
  EXPECT_NEAR(Distance(left, right, LocalizationTerm::IOU), 1, 1e-12);
  EXPECT_NEAR(Distance(left, right, LocalizationTerm::GIOU), 1 + 1.0 / 3, 1e-12);
  EXPECT_NEAR(Distance(left, right, LocalizationTerm::DIOU), 1 + 4.0 / 10, 1e-12);
}

Tensor RandomBoxes(int64_t count) {
  const Tensor low = at::rand({count, 2}, at::kDouble) * 0.5;
  return at::cat({low, low + at::rand({count, 2}, at::kDouble) * 0.4 + 0.05}, 1);
}

TEST(LocalizationTerm, BoxTermsAreOrdered) {
  at::manual_seed(1);
  const Tensor boxes = RandomBoxes(300);
  const Tensor truths = RandomBoxes(300);
  const Tensor iou = BoxDistance(boxes, truths, LocalizationTerm::IOU);
  EXPECT_TRUE(at::allclose(1 - iou, PairwiseIou(boxes, truths).diagonal(), 0, 1e-12));
  const Tensor diou = BoxDistance(boxes, truths, LocalizationTerm::DIOU);
  for (const auto kind : {LocalizationTerm::GIOU, LocalizationTerm::DIOU}) {
    const Tensor distance = BoxDistance(boxes, truths, kind);
    EXPECT_TRUE((distance >= iou - 1e-12).all().item<bool>());
    EXPECT_LE(distance.max().item<double>(), 2);
    EXPECT_TRUE(at::allclose(distance, BoxDistance(truths, boxes, kind), 0, 1e-12));
  }
  EXPECT_TRUE((BoxDistance(boxes, truths, LocalizationTerm::CIOU) >= diou).all().item<bool>());
  for (const auto kind : kBoxKinds) {
    EXPECT_LE(BoxDistance(boxes, boxes, kind).abs().max().item<double>(), 1e-9);
  }
}

void ExpectGradient(const std::function<Tensor(const Tensor&)>& value, const Tensor& at_boxes,
                    const Tensor& grad, const std::string& what) {
  constexpr double kStep = 1e-7;
  at::NoGradGuard no_grad;
  for (int64_t i = 0; i < grad.numel(); ++i) {
    const auto moved = [&](double by) {
      const Tensor boxes = at_boxes.detach().clone();
      boxes.view({-1})[i] += by;
      return value(boxes).item<double>();
    };
    EXPECT_NEAR(grad.flatten()[i].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep),
                1e-5)
        << what << ", element " << i;
  }
}

TEST(LocalizationTerm, GradientsEqualFiniteDifferences) {
  at::manual_seed(2);
  const Tensor truths = RandomBoxes(20);
  for (const auto kind : kBoxKinds) {
    const Tensor boxes = RandomBoxes(20).requires_grad_(true);
    BoxDistance(boxes, truths, kind).sum().backward();
    const std::string name = LocalizationTerm::Kind_Name(kind);
    if (kind != LocalizationTerm::CIOU) {
      ExpectGradient([&](const Tensor& b) { return BoxDistance(b, truths, kind).sum(); }, boxes,
                     boxes.grad(), name);
      continue;
    }
    // CIoU's weight stays what it is at these boxes.
    const auto shape = [&](const Tensor& b) {
      const auto angle = [](const Tensor& corners) {
        const Tensor sides = corners.narrow(1, 2, 2) - corners.narrow(1, 0, 2);
        return (sides.select(1, 0) / sides.select(1, 1)).atan();
      };
      return (angle(truths) - angle(b)).square() * (4 / (M_PI * M_PI));
    };
    const Tensor start = boxes.detach();
    const Tensor weight =
        shape(start) / (BoxDistance(start, truths, LocalizationTerm::IOU) + shape(start));
    ExpectGradient(
        [&](const Tensor& b) {
          return (BoxDistance(b, truths, LocalizationTerm::DIOU) + weight * shape(b)).sum();
        },
        boxes, boxes.grad(), name);
  }
}

TEST(LocalizationTerm, DegenerateBoxesHaveFiniteGradients) {
  const std::vector<std::vector<float>> boxes = {
      {0.5f, 0.5f, 0.5f, 0.5f},        // a point
      {0.2f, 0.5f, 0.8f, 0.5f},        // a line
      {0.2f, 0.2f, 0.6f, 0.6f},        // a box
      {0.6f, 0.6f, 0.2f, 0.2f},        // an inverted one
      {0.6f, 0.2f, 0.8f, 0.6f},        // one that touches the box
      {-1e6f, -1e6f, 1e6f, 1e6f},      // a huge one
      {1e6f, 1e6f, 1e6f, 1e6f},        // a point far away
      {0.2f, 0.2f, 1e6f, 0.2000001f},  // a long line
      {-5e34f, -5e34f, 5e34f, 5e34f},  // of codes that have grown beyond all measure
      {0.2f, 5e34f, 0.4f, 6e34f}       // far beyond it
  };
  const std::vector<std::vector<float>> truths = {
      {0.2f, 0.2f, 0.6f, 0.6f}, {0.0f, 0.0f, 1.0f, 1.0f}, {0.5f, 0.5f, 0.5f, 0.5f}};
  for (const auto kind : kBoxKinds) {
    for (const std::vector<float>& box : boxes) {
      for (const std::vector<float>& truth : truths) {
        const Tensor corners = at::tensor(box).requires_grad_(true);
        const Tensor distance = BoxDistance(corners, at::tensor(truth), kind);
        EXPECT_TRUE(std::isfinite(distance.item<float>()))
            << LocalizationTerm::Kind_Name(kind) << at::tensor(box) << at::tensor(truth);
        distance.backward();
        EXPECT_TRUE(at::isfinite(corners.grad()).all().item<bool>())
            << LocalizationTerm::Kind_Name(kind) << at::tensor(box) << at::tensor(truth);
      }
    }
  }
}

TEST(LocalizationTerm, DisjointBoxesComeTogetherButByIou) {
  for (const auto kind : kBoxKinds) {
    const Tensor box = Box(0.1, 0.1, 0.2, 0.2).requires_grad_(true);
    BoxDistance(box, Box(0.7, 0.1, 0.9, 0.2), kind).backward();
    // To the right: the loss falls as x1 grows.
    if (kind == LocalizationTerm::IOU) {
      EXPECT_EQ(box.grad()[2].item<double>(), 0);
    } else {
      EXPECT_LT(box.grad()[2].item<double>(), 0);
    }
  }
}

TEST(LocalizationTerm, UnmatchedAnchorsDoNotMatter) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor labels = at::tensor({2, 0, -1}, at::kLong).unsqueeze(0);
  const BoxDecoder decode = [](const Tensor& codes) {
    const Tensor half = codes.narrow(-1, 2, 2).exp() * 0.2;
    return at::cat({codes.narrow(-1, 0, 2) - half, codes.narrow(-1, 0, 2) + half}, -1);
  };
  for (int kind = LocalizationTerm::Kind_MIN; kind <= LocalizationTerm::Kind_MAX; ++kind) {
    Targets targets{labels, at::full({1, 3, 4}, nan), at::full({1, 3, 4}, nan)};
    targets.box_codes[0][0].fill_(0.3);
    targets.boxes[0][0].copy_(at::tensor({0.2f, 0.2f, 0.5f, 0.6f}));
    const Tensor codes = at::full({1, 3, 4}, 1e4f);
    codes[0][0].fill_(0.1);
    codes.requires_grad_(true);
    const Tensor per_anchor =
        LocalizationPerAnchor(codes, targets, decode, static_cast<LocalizationTerm::Kind>(kind), 1);
    EXPECT_EQ(per_anchor.sizes(), labels.sizes());
    EXPECT_GT(per_anchor[0][0].item<float>(), 0);
    EXPECT_EQ(per_anchor[0].narrow(0, 1, 2).abs().max().item<float>(), 0);
    per_anchor.sum().backward();
    EXPECT_GT(codes.grad()[0][0].abs().sum().item<float>(), 0);
    EXPECT_EQ(codes.grad()[0].narrow(0, 1, 2).abs().max().item<float>(), 0);
  }
}

}  // namespace
}  // namespace ssd
