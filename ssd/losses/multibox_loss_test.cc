#include "ssd/losses/multibox_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

using Terms = MultiboxTerms (*)(const Predictions&, const Targets&, const MultiboxLossOptions&,
                                LossDetail*);

struct Way {
  const char* name;
  Terms terms;
};
const Way kWays[] = {{"cpu", MultiboxTermsOnCpu}, {"tensor ops", MultiboxTermsByTensorOps}};

MultiboxLossOptions Options(const std::string& text) {
  MultiboxLossOptions options;
  const absl::Status status = ParseTextProto(text, "test", options);
  EXPECT_TRUE(status.ok()) << status;
  return options;
}

absl::StatusOr<std::unique_ptr<Loss>> Create(const std::string& options, int64_t num_classes) {
  LossConfig config;
  const absl::Status status = ParseTextProto("multibox {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return LossRegistry::Get().Create(config, {num_classes});
}

struct Case {
  Predictions predictions;
  Targets targets;
};

// About one anchor in ten positive, one in twenty without a part.
Case RandomCase(int64_t batch, int64_t anchors, int64_t classes, at::ScalarType type) {
  Case c;
  c.predictions.class_logits = at::randn({batch, anchors, classes}, type) * 2;
  c.predictions.box_codes = at::randn({batch, anchors, 4}, type) * 2;
  const Tensor kind = at::rand({batch, anchors});
  const Tensor labels = at::randint(1, classes, {batch, anchors}, at::kLong);
  c.targets.labels = at::where(kind < 0.1, labels, at::where(kind < 0.15, -1, 0)).to(at::kLong);
  c.targets.box_codes = at::randn({batch, anchors, 4});
  c.targets.boxes = at::rand({batch, anchors, 4});
  return c;
}

// The golden case's gts, matched by its list, as targets; codes by equation 2 in float64.
Targets GoldenTargets(const rapidjson::Value& file, const rapidjson::Value& golden_case) {
  const bool skip_difficult = std::string(golden_case["name"].GetString()) == "skip_difficult";
  const Tensor anchors = CentersFromCorners(golden::Numbers(file["priors"]));
  const int64_t batch = golden_case["gts"].Size();
  Targets targets;
  targets.labels = at::zeros({batch, anchors.size(0)}, at::kLong);
  targets.box_codes = at::zeros({batch, anchors.size(0), 4}, at::kDouble);
  for (int64_t b = 0; b < batch; ++b) {
    const auto& image = golden_case["gts"][static_cast<unsigned>(b)];
    std::vector<unsigned> rows;
    for (unsigned g = 0; g < image["labels"].Size(); ++g) {
      if (!skip_difficult || image["difficult"][g].GetInt() == 0) rows.push_back(g);
    }
    for (const auto& pair : golden_case["caffe_positives"][static_cast<unsigned>(b)].GetObject()) {
      const int64_t a = std::stoll(pair.name.GetString());
      const unsigned g = rows[pair.value.GetUint()];
      const Tensor box = CentersFromCorners(golden::Numbers(image["boxes"][g]));
      const Tensor anchor = anchors[a];
      const Tensor center = (box.narrow(0, 0, 2) - anchor.narrow(0, 0, 2)) / anchor.narrow(0, 2, 2);
      const Tensor size = (box.narrow(0, 2, 2) / anchor.narrow(0, 2, 2)).log();
      targets.labels[b][a] = image["labels"][g].GetInt64();
      targets.box_codes[b][a] = at::cat({center / 0.1, size / 0.2});
    }
  }
  return targets;
}

Tensor Column(const rapidjson::Value& object) {
  std::vector<Tensor> rows;
  for (const auto& row : object.GetObject()) rows.push_back(golden::Numbers(row.value));
  return at::stack(rows);
}

Tensor RowsOf(const Tensor& values, const rapidjson::Value& object) {
  std::vector<Tensor> rows;
  for (const auto& row : object.GetObject()) {
    rows.push_back(values[std::stoll(row.name.GetString())]);
  }
  return at::stack(rows);
}

TEST(MultiboxLoss, EqualsCaffeAndTorchvision) {
  const auto& file = golden::File("multibox_loss.json");
  for (const auto& golden_case : file["cases"].GetArray()) {
    const std::string name = golden_case["name"].GetString();
    double weight = 1;
    double normalizer = 1;  // the peer's over ours
    std::string text;
    if (name == "no_mining") text = "negatives_per_positive: 1e9";
    if (name == "loc_weight_2") weight = 2;
    if (name == "l2_loc") {
      // Far below beta smooth L1 is a square, over 2 beta.
      weight = 1e4;
      text = "smooth_l1_beta: 1e4";
    }
    const Targets targets = GoldenTargets(file, golden_case);
    if (name == "norm_batch_size") {
      normalizer = 2 / static_cast<double>((targets.labels > 0).sum().item<int64_t>());
    }
    for (const Way& way : kWays) {
      const std::string what = "multibox/" + name + "/" + way.name;
      const Tensor codes = golden::Numbers(golden_case["loc"]).to(at::kFloat).requires_grad_(true);
      const Tensor logits =
          golden::Numbers(golden_case["conf"]).to(at::kFloat).requires_grad_(true);
      LossDetail detail;
      MultiboxTerms terms = way.terms({codes, logits}, targets, Options(text), &detail);
      const Tensor classification = terms.classification / normalizer;
      const Tensor localization = terms.localization * weight / normalizer;
      (classification + localization).backward();
      const auto& caffe = golden_case["caffe"];
      golden::ExpectNear(at::stack({classification, localization, classification + localization}),
                         at::tensor({caffe["conf"].GetDouble(), caffe["loc"].GetDouble(),
                                     caffe["total"].GetDouble()},
                                    at::kDouble),
                         what);
      if (golden_case.HasMember("torchvision")) {
        const auto& torchvision = golden_case["torchvision"];
        golden::ExpectNear(at::stack({classification, localization}),
                           at::tensor({torchvision["classification"].GetDouble(),
                                       torchvision["bbox_regression"].GetDouble()},
                                      at::kDouble),
                           what + "/torchvision");
      }
      for (const char* peer : {"amdegroot", "lufficc"}) {
        if (!golden_case.HasMember(peer) || name == "only_empty") continue;
        const auto& values = golden_case[peer];
        const bool lufficc = std::string(peer) == "lufficc";
        golden::ExpectNear(at::stack({classification, localization}),
                           at::tensor({values[lufficc ? "classification" : "loss_c"].GetDouble(),
                                       values[lufficc ? "smooth_l1" : "loss_l"].GetDouble()},
                                      at::kDouble),
                           what + "/" + peer);
      }

      // Which negatives, where they do not tie.
      const auto& negatives = golden_case["caffe_negatives"];
      for (unsigned b = 0; negatives.IsArray() && name != "all_logits_zero" && b < negatives.Size();
           ++b) {
        std::set<int64_t> expected;
        for (const auto& a : negatives[b].GetArray()) expected.insert(a.GetInt64());
        std::set<int64_t> actual;
        const Tensor mined = detail.chosen[b].logical_and(targets.labels[b] == 0).nonzero();
        for (int64_t i = 0; i < mined.size(0); ++i) actual.insert(mined[i][0].item<int64_t>());
        EXPECT_EQ(actual, expected) << what;
      }

      const auto& grad_sums = golden_case["caffe_grad_sums"];
      golden::ExpectNear(
          at::stack({codes.grad().abs().sum(), logits.grad().abs().sum()}),
          at::tensor({grad_sums["loc_abs"].GetDouble(), grad_sums["conf_abs"].GetDouble()},
                     at::kDouble),
          what + "/grad sums", 1e-5);
      for (unsigned b = 0; b < golden_case["caffe_positives"].Size(); ++b) {
        const auto& rows = golden_case["caffe_grad_loc_nonzero_rows"][b];
        if (rows.MemberCount() == 0) continue;
        golden::ExpectNear(RowsOf(codes.grad()[b], rows), Column(rows), what + "/grad loc", 1e-5,
                           1e-6);
        const auto& probe = golden_case["caffe_grad_conf_probe"][b];
        if (name == "all_logits_zero") continue;
        golden::ExpectNear(RowsOf(logits.grad()[b], probe), Column(probe), what + "/grad conf",
                           1e-5, 1e-6);
      }
    }
  }
}

TEST(MultiboxLoss, MeanOfImagesEqualsNvidia) {
  const auto& file = golden::File("multibox_loss.json");
  for (const auto& golden_case : file["cases"].GetArray()) {
    if (!golden_case.HasMember("nvidia_mean_of_per_image")) continue;
    const Targets targets = GoldenTargets(file, golden_case);
    const Tensor codes = golden::Numbers(golden_case["loc"]).to(at::kFloat);
    const Tensor logits = golden::Numbers(golden_case["conf"]).to(at::kFloat);
    Tensor sum = at::zeros({}, at::kDouble);
    for (int64_t b = 0; b < codes.size(0); ++b) {
      const MultiboxTerms terms = MultiboxTermsOnCpu(
          {codes.narrow(0, b, 1), logits.narrow(0, b, 1)},
          {targets.labels.narrow(0, b, 1), targets.box_codes.narrow(0, b, 1), Tensor()},
          Options(""), nullptr);
      sum = sum + terms.classification + terms.localization;
    }
    golden::ExpectNear(
        sum / static_cast<double>(codes.size(0)),
        at::full({}, golden_case["nvidia_mean_of_per_image"].GetDouble(), at::kDouble),
        std::string("multibox/") + golden_case["name"].GetString() + "/nvidia");
  }
}

TEST(MultiboxLoss, GradientsEqualFiniteDifferences) {
  at::manual_seed(1);
  Case c = RandomCase(2, 30, 4, at::kDouble);
  for (const Way& way : kWays) {
    auto total = [&](const Tensor& logits, const Tensor& codes) {
      const MultiboxTerms terms = way.terms({codes, logits}, c.targets, Options(""), nullptr);
      return terms.classification * 0.7 + terms.localization * 1.3;
    };
    const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
    const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
    total(logits, codes).backward();
    constexpr double kStep = 1e-6;
    for (const bool of_logits : {true, false}) {
      const Tensor grad = (of_logits ? logits : codes).grad().flatten();
      at::NoGradGuard no_grad;
      for (int64_t i = 0; i < grad.numel(); ++i) {
        const auto moved = [&](double by) {
          const Tensor l = logits.detach().clone();
          const Tensor d = codes.detach().clone();
          (of_logits ? l : d).view({-1})[i] += by;
          return total(l, d).item<double>();
        };
        EXPECT_NEAR(grad[i].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep), 1e-7)
            << way.name;
      }
    }
  }
}

TEST(MultiboxLoss, BothWaysAgree) {
  at::manual_seed(2);
  for (const auto& [anchors, classes] :
       std::vector<std::pair<int64_t, int64_t>>{{500, 21}, {777, 2}, {100, 91}, {40, 3000}}) {
    const Case c = RandomCase(3, anchors, classes, at::kFloat);
    // Logits beyond the range of exp in one image.
    c.predictions.class_logits[2].mul_(100);
    for (const char* text : {"", "negatives_per_positive: 0", "negatives_per_positive: 1.5"}) {
      Tensor grads[2][2];
      MultiboxTerms terms[2];
      LossDetail details[2];
      for (int i = 0; i < 2; ++i) {
        const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
        const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
        terms[i] = kWays[i].terms({codes, logits}, c.targets, Options(text), &details[i]);
        (terms[i].classification + terms[i].localization).backward();
        grads[i][0] = logits.grad();
        grads[i][1] = codes.grad();
      }
      EXPECT_TRUE(at::allclose(terms[0].classification, terms[1].classification, 1e-6, 1e-7));
      EXPECT_TRUE(at::allclose(terms[0].localization, terms[1].localization, 1e-6, 1e-7));
      EXPECT_TRUE(at::allclose(grads[0][0], grads[1][0], 1e-5, 1e-7));
      EXPECT_TRUE(at::allclose(grads[0][1], grads[1][1], 1e-5, 1e-7));
      EXPECT_TRUE(at::allclose(details[0].classification, details[1].classification, 1e-5, 1e-6));
      EXPECT_TRUE(at::allclose(details[0].localization, details[1].localization, 1e-5, 1e-6));
      EXPECT_TRUE(at::equal(details[0].chosen, details[1].chosen));
    }
  }
}

TEST(MultiboxLoss, TiesGoToTheLowerAnchor) {
  Case c = RandomCase(1, 50, 5, at::kFloat);
  c.predictions.class_logits.zero_();
  c.targets.labels.zero_();
  c.targets.labels[0][20] = 3;
  for (const Way& way : kWays) {
    LossDetail detail;
    way.terms(c.predictions, c.targets, Options(""), &detail);
    EXPECT_TRUE(
        at::equal(detail.chosen[0].nonzero().flatten(), at::tensor({0, 1, 2, 20}, at::kLong)));
  }
}

TEST(MultiboxLoss, WithoutPositivesIsExactlyZero) {
  at::manual_seed(3);
  Case c = RandomCase(2, 60, 4, at::kFloat);
  c.targets.labels.clamp_(-1, 0);
  // What stands where nothing matched does not matter.
  c.targets.box_codes.fill_(std::numeric_limits<float>::infinity());
  for (const Way& way : kWays) {
    const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
    const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
    const MultiboxTerms terms = way.terms({codes, logits}, c.targets, Options(""), nullptr);
    (terms.classification + terms.localization).backward();
    EXPECT_EQ(terms.classification.item<float>(), 0);
    EXPECT_EQ(terms.localization.item<float>(), 0);
    EXPECT_TRUE(at::equal(logits.grad(), at::zeros_like(logits)));
    EXPECT_TRUE(at::equal(codes.grad(), at::zeros_like(codes)));
  }
}

TEST(MultiboxLoss, NanReachesTheLoss) {
  at::manual_seed(4);
  const Case c = RandomCase(2, 60, 4, at::kFloat);
  const Tensor negative = (c.targets.labels[1] == 0).nonzero()[0][0];
  c.predictions.class_logits[1][negative.item<int64_t>()][0] = NAN;
  for (const Way& way : kWays) {
    EXPECT_TRUE(std::isnan(
        way.terms(c.predictions, c.targets, Options(""), nullptr).classification.item<float>()));
  }
}

TEST(MultiboxLoss, HalfTypesAreComputedInFloat32) {
  at::manual_seed(5);
  const Case c = RandomCase(2, 200, 6, at::kFloat);
  auto loss = Create("localization_weight: 2", 5);
  ASSERT_TRUE(loss.ok());
  const Tensor logits = c.predictions.class_logits.to(at::kBFloat16).requires_grad_(true);
  const Tensor codes = c.predictions.box_codes.to(at::kBFloat16).requires_grad_(true);
  const Losses half = (*loss)->Compute({codes, logits}, c.targets, nullptr, nullptr);
  const Losses full = (*loss)->Compute(
      {codes.detach().to(at::kFloat), logits.detach().to(at::kFloat)}, c.targets, nullptr, nullptr);
  EXPECT_EQ(half.total.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(half.total, full.total));
  EXPECT_FLOAT_EQ(half.total.item<float>(),
                  (half.classification + 2 * half.localization).item<float>());
  half.total.backward();
  EXPECT_EQ(logits.grad().scalar_type(), at::kBFloat16);
  EXPECT_EQ(codes.grad().scalar_type(), at::kBFloat16);
}

TEST(MultiboxLoss, BadOptionsNameTheField) {
  for (const char* options :
       {"negatives_per_positive: -1", "negatives_per_positive: nan", "localization_weight: -1",
        "localization_weight: inf", "smooth_l1_beta: 0", "smooth_l1_beta: nan"}) {
    const absl::Status status = Create(options, 3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("loss.multibox." + field), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ssd
