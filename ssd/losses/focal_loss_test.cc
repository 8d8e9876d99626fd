#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "ssd/core/text_proto.h"
#include "ssd/losses/loss.h"

namespace ssd {
namespace {

constexpr int64_t kClasses = 4;

absl::StatusOr<std::unique_ptr<Loss>> Create(const std::string& options, bool sigmoid,
                                             int64_t num_classes = kClasses) {
  LossConfig config;
  const absl::Status status = ParseTextProto("focal {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return LossRegistry::Get().Create(config, {num_classes, sigmoid});
}

// Boxes of a size near that of the whole image, whatever the codes.
Tensor Decode(const Tensor& codes) {
  const Tensor low = codes.narrow(-1, 0, 2) * 0.05 + 0.2;
  return at::cat({low, low + 0.5 * (codes.narrow(-1, 2, 2) * 0.1).exp()}, -1);
}

struct Case {
  Predictions predictions;
  Targets targets;
};

// About one anchor in ten positive, one in twenty without a part.
Case RandomCase(int64_t batch, int64_t anchors, bool sigmoid, at::ScalarType type) {
  Case c;
  c.predictions.class_logits = at::randn({batch, anchors, kClasses + (sigmoid ? 0 : 1)}, type) * 2;
  c.predictions.box_codes = at::randn({batch, anchors, 4}, type);
  const Tensor kind = at::rand({batch, anchors});
  const Tensor labels = at::randint(1, kClasses + 1, {batch, anchors}, at::kLong);
  c.targets.labels = at::where(kind < 0.1, labels, at::where(kind < 0.15, -1, 0)).to(at::kLong);
  c.targets.box_codes = at::randn({batch, anchors, 4});
  const Tensor low = at::rand({batch, anchors, 2}) * 0.5;
  c.targets.boxes = at::cat({low, low + at::rand({batch, anchors, 2}) * 0.4 + 0.05}, -1);
  return c;
}

// The classification term of one anchor of one class, whose p_t is given.
double OfOneAnchor(double p_t, bool positive, double alpha, double gamma) {
  const double x = std::log(p_t / (1 - p_t));
  const Predictions predictions{at::zeros({1, 1, 4}, at::kDouble),
                                at::full({1, 1, 1}, positive ? x : -x, at::kDouble)};
  const Targets targets{at::full({1, 1}, positive ? 1 : 0, at::kLong), at::zeros({1, 1, 4}),
                        at::zeros({1, 1, 4})};
  const auto loss = Create(absl::StrCat("alpha: ", alpha, " gamma: ", gamma), true, 1);
  EXPECT_TRUE(loss.ok()) << loss.status();
  return (*loss)->Compute(predictions, targets, nullptr).classification.item<double>();
}

// Section 3.2: at gamma 2 an example of p_t = 0.9 has 100 times less loss than by cross entropy,
// one of p_t = 0.968 about 1000 times, and one below 0.5 at most 4 times.
TEST(FocalLoss, EqualsThePapersFigures) {
  const auto less = [](double p_t) {
    return OfOneAnchor(p_t, true, 0.25, 0) / OfOneAnchor(p_t, true, 0.25, 2);
  };
  EXPECT_NEAR(less(0.9), 100, 1e-6);
  EXPECT_NEAR(less(0.968), 1000, 25);
  EXPECT_LE(less(0.5), 4 + 1e-9);
  // Equation 5.
  for (const double p_t : {0.01, 0.3, 0.9, 0.999}) {
    for (const double gamma : {0.0, 0.5, 2.0, 5.0}) {
      const double expected = -std::pow(1 - p_t, gamma) * std::log(p_t);
      EXPECT_NEAR(OfOneAnchor(p_t, true, 0.25, gamma), 0.25 * expected, 1e-12);
      EXPECT_NEAR(OfOneAnchor(p_t, false, 0.25, gamma), 0.75 * expected, 1e-12);
    }
  }
}

// The formula as RetinaNet's programs write it, from probabilities and cross entropies.
TEST(FocalLoss, EqualsTheFormulaFromProbabilities) {
  at::manual_seed(1);
  for (const bool sigmoid : {true, false}) {
    const Case c = RandomCase(3, 50, sigmoid, at::kDouble);
    const Tensor& logits = c.predictions.class_logits;
    const Tensor& labels = c.targets.labels;
    const Tensor positive = (labels > 0).sum().clamp_min(1);
    Tensor expected;
    if (sigmoid) {
      const Tensor target = (labels.unsqueeze(-1) == at::arange(1, kClasses + 1)).to(at::kDouble);
      const Tensor p = logits.sigmoid();
      const Tensor p_t = p * target + (1 - p) * (1 - target);
      const Tensor alpha_t = 0.3 * target + 0.7 * (1 - target);
      const Tensor entropy =
          at::binary_cross_entropy_with_logits(logits, target, {}, {}, at::Reduction::None);
      expected = (alpha_t * entropy * (1 - p_t).pow(1.5)).sum(-1);
    } else {
      const Tensor p_t =
          logits.softmax(-1).gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1);
      const Tensor alpha_t = at::where(labels > 0, 0.3, 0.7).to(at::kDouble);
      expected = -alpha_t * p_t.log() * (1 - p_t).pow(1.5);
    }
    expected = at::where(labels >= 0, expected, 0.0);
    const auto loss = Create("alpha: 0.3 gamma: 1.5 localization_weight: 2", sigmoid);
    ASSERT_TRUE(loss.ok()) << loss.status();
    LossDetail detail;
    const Losses losses = (*loss)->Compute(c.predictions, c.targets, Decode, &detail);
    // 0.3 and 0.7 above are float32's.
    EXPECT_NEAR(losses.classification.item<double>(), (expected.sum() / positive).item<double>(),
                1e-6);
    EXPECT_NEAR(losses.total.item<double>(),
                (losses.classification + losses.localization).item<double>(), 1e-12);
    EXPECT_TRUE(at::allclose(detail.classification, expected.to(at::kFloat), 1e-5, 1e-6));
    EXPECT_TRUE(at::equal(detail.chosen, labels >= 0));
    // Smooth L1 over the positives.
    const Tensor off = at::where((labels > 0).unsqueeze(-1),
                                 c.predictions.box_codes - c.targets.box_codes.to(at::kDouble), 0.0)
                           .abs();
    const Tensor smooth = at::where(off < 1, off * off / 2, off - 0.5);
    EXPECT_NEAR(losses.localization.item<double>(), (2 * smooth.sum() / positive).item<double>(),
                1e-12);
  }
}

TEST(FocalLoss, NormalizersDivide) {
  at::manual_seed(2);
  Case c = RandomCase(2, 50, true, at::kDouble);
  c.targets.labels[0].zero_();
  c.targets.labels[0].narrow(0, 0, 3).fill_(1);
  c.targets.labels[1].zero_();
  const auto of = [&](const std::string& options) {
    const auto loss = Create(options, true);
    EXPECT_TRUE(loss.ok()) << loss.status();
    return (*loss)->Compute(c.predictions, c.targets, Decode).classification.item<double>();
  };
  const double sum = of("normalizer: NONE");
  EXPECT_NEAR(of(""), sum / 3, 1e-9);
  EXPECT_NEAR(of("normalizer: BATCH_SIZE"), sum / 2, 1e-9);
  const auto loss = Create("normalizer: NONE", true);
  double mean = 0;
  for (int64_t b = 0; b < 2; ++b) {
    const Losses one = (*loss)->Compute(
        {c.predictions.box_codes.narrow(0, b, 1), c.predictions.class_logits.narrow(0, b, 1)},
        {c.targets.labels.narrow(0, b, 1), c.targets.box_codes.narrow(0, b, 1),
         c.targets.boxes.narrow(0, b, 1)},
        Decode);
    mean += one.classification.item<double>() / (b == 0 ? 3 : 1) / 2;
  }
  EXPECT_NEAR(of("normalizer: IMAGE_POSITIVES"), mean, 1e-9);
}

TEST(FocalLoss, GradientsEqualFiniteDifferences) {
  at::manual_seed(3);
  for (const bool sigmoid : {true, false}) {
    const Case c = RandomCase(2, 30, sigmoid, at::kDouble);
    // CIOU is not here: its weight has no gradient (localization_term_test).
    for (const char* text :
         {"", "gamma: 0", "gamma: 0.5 alpha: 0.6", "normalizer: IMAGE_POSITIVES",
          "localization: L1", "localization: L2", "localization: IOU", "localization: GIOU",
          "localization: DIOU localization_weight: 2", "smooth_l1_beta: 0.1"}) {
      const auto loss = Create(text, sigmoid);
      ASSERT_TRUE(loss.ok()) << loss.status();
      const auto total = [&](const Tensor& logits, const Tensor& codes) {
        return (*loss)->Compute({codes, logits}, c.targets, Decode).total;
      };
      const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
      const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
      total(logits, codes).backward();
      constexpr double kStep = 1e-6;
      for (const bool of_logits : {true, false}) {
        const Tensor grad = (of_logits ? logits : codes).grad().flatten();
        at::NoGradGuard no_grad;
        for (int64_t i = 0; i < grad.numel(); i += 7) {
          const auto moved = [&](double by) {
            const Tensor l = logits.detach().clone();
            const Tensor d = codes.detach().clone();
            (of_logits ? l : d).view({-1})[i] += by;
            return total(l, d).item<double>();
          };
          EXPECT_NEAR(grad[i].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep), 1e-7)
              << text << (sigmoid ? " sigmoid" : " softmax");
        }
      }
    }
  }
}

TEST(FocalLoss, ExtremeLogitsAreFinite) {
  at::manual_seed(4);
  for (const bool sigmoid : {true, false}) {
    for (const char* gamma : {"0", "0.5", "1", "2"}) {
      const Case c = RandomCase(2, 40, sigmoid, at::kFloat);
      const Tensor logits = (c.predictions.class_logits.sign() * 1e4).requires_grad_(true);
      const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
      const auto loss = Create(absl::StrCat("gamma: ", gamma), sigmoid);
      ASSERT_TRUE(loss.ok()) << loss.status();
      const Losses losses = (*loss)->Compute({codes, logits}, c.targets, Decode);
      EXPECT_TRUE(std::isfinite(losses.total.item<float>())) << gamma;
      losses.total.backward();
      EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>()) << gamma;
    }
  }
}

// A batch of one image with no truth, one over the whole image, and 300; either type; each term.
TEST(FocalLoss, AnyTruthAndTypeIsFinite) {
  at::manual_seed(5);
  for (const bool sigmoid : {true, false}) {
    const Case c = RandomCase(1, 400, sigmoid, at::kFloat);
    for (const char* term : {"SMOOTH_L1", "L1", "L2", "IOU", "GIOU", "DIOU", "CIOU"}) {
      const auto loss = Create(absl::StrCat("localization: ", term), sigmoid);
      ASSERT_TRUE(loss.ok()) << loss.status();
      for (const int64_t truths : {0, 1, 300}) {
        Targets targets = c.targets;
        targets.labels = at::zeros({1, 400}, at::kLong);
        targets.labels.narrow(1, 0, truths).fill_(3);
        if (truths == 1) targets.boxes = at::tensor({0.f, 0.f, 1.f, 1.f}).expand({1, 400, 4});
        for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
          const Tensor logits = c.predictions.class_logits.to(type).detach().requires_grad_(true);
          const Tensor codes = c.predictions.box_codes.to(type).detach().requires_grad_(true);
          const Losses losses = (*loss)->Compute({codes, logits}, targets, Decode);
          EXPECT_EQ(losses.total.scalar_type(), at::kFloat);
          EXPECT_TRUE(std::isfinite(losses.total.item<float>())) << term;
          EXPECT_EQ(losses.localization.item<float>() > 0, truths > 0) << term;
          losses.total.backward();
          EXPECT_EQ(logits.grad().scalar_type(), type);
          EXPECT_EQ(codes.grad().scalar_type(), type);
          EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>()) << term;
          EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>()) << term;
        }
      }
    }
  }
}

TEST(FocalLoss, BadOptionsNameTheField) {
  for (const char* options :
       {"alpha: 0", "alpha: 1", "alpha: nan", "gamma: -1", "gamma: inf", "localization_weight: -1",
        "smooth_l1_beta: 0", "smooth_l1_beta: 0.1 localization: L1"}) {
    const absl::Status status = Create(options, true).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("loss.focal." + field), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ssd
