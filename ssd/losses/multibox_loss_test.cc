#include "ssd/losses/multibox_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/boxes.h"
#include "ssd/core/text_proto.h"
#include "ssd/losses/multibox_terms.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

// Boxes of a size near that of the whole image, whatever the codes.
Tensor Decode(const Tensor& codes) {
  const Tensor low = codes.narrow(-1, 0, 2) * 0.05 + 0.2;
  return at::cat({low, low + 0.5 * (codes.narrow(-1, 2, 2) * 0.1).exp()}, -1);
}

MultiboxTerms OnCpu(const Predictions& predictions, const Targets& targets,
                    const MultiboxLossOptions& options, LossDetail* detail) {
  return MultiboxTermsOnCpu(predictions, targets, options, Decode, detail);
}

MultiboxTerms ByTensorOps(const Predictions& predictions, const Targets& targets,
                          const MultiboxLossOptions& options, LossDetail* detail) {
  return MultiboxTermsByTensorOps(predictions, targets, options, /*sigmoid=*/false, Decode, detail);
}

struct Way {
  const char* name;
  decltype(&OnCpu) terms;
};
const Way kWays[] = {{"cpu", OnCpu}, {"tensor ops", ByTensorOps}};

const char* const kLocalizationTerms[] = {"SMOOTH_L1", "L1", "L2", "IOU", "GIOU", "DIOU", "CIOU"};

MultiboxLossOptions Options(const std::string& text) {
  MultiboxLossOptions options;
  const absl::Status status = ParseTextProto(text, "test", options);
  EXPECT_TRUE(status.ok()) << status;
  return options;
}

absl::StatusOr<std::unique_ptr<Loss>> Create(const std::string& options, int64_t num_classes,
                                             bool sigmoid = false) {
  LossConfig config;
  const absl::Status status = ParseTextProto("multibox {" + options + "}", "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return LossRegistry::Get().Create(config, {num_classes, sigmoid});
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
  const Tensor low = at::rand({batch, anchors, 2}) * 0.5;
  c.targets.boxes = at::cat({low, low + at::rand({batch, anchors, 2}) * 0.4 + 0.05}, -1);
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
    // Caffe's terms are with the weight.
    const double weight = name == "loc_weight_2" ? 2 : 1;
    std::string text;
    if (name == "no_mining") text = "mining: NONE";
    if (name == "l2_loc") text = "localization: L2";
    if (name == "norm_batch_size") text = "normalizer: BATCH_SIZE";
    const Targets targets = GoldenTargets(file, golden_case);
    for (const Way& way : kWays) {
      const std::string what = "multibox/" + name + "/" + way.name;
      const Tensor codes = golden::Numbers(golden_case["loc"]).to(at::kFloat).requires_grad_(true);
      const Tensor logits =
          golden::Numbers(golden_case["conf"]).to(at::kFloat).requires_grad_(true);
      LossDetail detail;
      const MultiboxTerms terms = way.terms({codes, logits}, targets, Options(text), &detail);
      const Tensor classification = terms.classification;
      const Tensor localization = terms.localization * weight;
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
    for (const Way& way : kWays) {
      const MultiboxTerms terms =
          way.terms({codes, logits}, targets, Options("normalizer: IMAGE_POSITIVES"), nullptr);
      golden::ExpectNear(
          terms.classification + terms.localization,
          at::full({}, golden_case["nvidia_mean_of_per_image"].GetDouble(), at::kDouble),
          std::string("multibox/") + golden_case["name"].GetString() + "/nvidia/" + way.name);
    }
  }
}

// At every `stride`-th logit and code.
void ExpectFiniteDifferences(const std::function<Tensor(const Tensor&, const Tensor&)>& total,
                             const Case& c, int64_t stride, const std::string& what) {
  const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
  const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
  total(logits, codes).backward();
  constexpr double kStep = 1e-6;
  for (const bool of_logits : {true, false}) {
    const Tensor grad = (of_logits ? logits : codes).grad().flatten();
    at::NoGradGuard no_grad;
    for (int64_t i = 0; i < grad.numel(); i += stride) {
      const auto moved = [&](double by) {
        const Tensor l = logits.detach().clone();
        const Tensor d = codes.detach().clone();
        (of_logits ? l : d).view({-1})[i] += by;
        return total(l, d).item<double>();
      };
      EXPECT_NEAR(grad[i].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep), 1e-7)
          << what;
    }
  }
}

TEST(MultiboxLoss, GradientsEqualFiniteDifferences) {
  at::manual_seed(1);
  const Case c = RandomCase(2, 30, 4, at::kDouble);
  // CIOU is not here: its weight has no gradient (localization_term_test).
  for (const char* text :
       {"", "mining: NONE", "min_negatives: 9", "normalizer: IMAGE_POSITIVES",
        "normalizer: BATCH_SIZE", "normalizer: NONE", "smooth_l1_beta: 0.3", "localization: L1",
        "localization: L2", "localization: IOU", "localization: GIOU", "localization: DIOU",
        "label_smoothing: 0.2", "class_weight: [0.5, 3, 0]",
        "label_smoothing: 0.1 class_weight: [0.5, 3, 2] normalizer: IMAGE_POSITIVES"}) {
    const MultiboxLossOptions options = Options(text);
    for (const Way& way : kWays) {
      ExpectFiniteDifferences(
          [&](const Tensor& logits, const Tensor& codes) {
            const MultiboxTerms terms = way.terms({codes, logits}, c.targets, options, nullptr);
            return terms.classification * 0.7 + terms.localization * 1.3;
          },
          c, *text == '\0' ? 1 : 7, absl::StrCat(way.name, " ", text));
    }
  }
}

TEST(MultiboxLoss, GradientsOfSigmoidsEqualFiniteDifferences) {
  at::manual_seed(11);
  Case c = RandomCase(2, 30, 4, at::kDouble);
  c.predictions.class_logits = c.predictions.class_logits.narrow(-1, 1, 3).contiguous();
  for (const char* text : {"", "label_smoothing: 0.2 class_weight: [0.5, 3, 2]", "mining: NONE"}) {
    const auto loss = Create(text, 3, /*sigmoid=*/true);
    ASSERT_TRUE(loss.ok()) << loss.status();
    ExpectFiniteDifferences(
        [&](const Tensor& logits, const Tensor& codes) {
          return (*loss)->Compute({codes, logits}, c.targets, Decode, nullptr).total;
        },
        c, 5, text);
  }
}

TEST(MultiboxLoss, BothWaysAgree) {
  at::manual_seed(2);
  for (const auto& [anchors, classes] :
       std::vector<std::pair<int64_t, int64_t>>{{500, 21}, {777, 2}, {100, 91}, {40, 3000}}) {
    const Case c = RandomCase(3, anchors, classes, at::kFloat);
    // Logits beyond the range of exp in one image.
    c.predictions.class_logits[2].mul_(100);
    for (const char* text :
         {"", "negatives_per_positive: 0", "negatives_per_positive: 1.5", "mining: NONE",
          "negatives_per_positive: 0.1 min_negatives: 20", "normalizer: IMAGE_POSITIVES",
          "normalizer: BATCH_SIZE", "normalizer: NONE", "localization: L1", "localization: L2",
          "localization: CIOU", "label_smoothing: 0.1"}) {
      MultiboxLossOptions options = Options(text);
      if (options.label_smoothing() > 0) {
        for (int64_t k = 1; k < classes; ++k)
          options.add_class_weight(1.0 / static_cast<double>(k));
      }
      Tensor grads[2][2];
      MultiboxTerms terms[2];
      LossDetail details[2];
      for (int i = 0; i < 2; ++i) {
        const Tensor logits = c.predictions.class_logits.clone().requires_grad_(true);
        const Tensor codes = c.predictions.box_codes.clone().requires_grad_(true);
        terms[i] = kWays[i].terms({codes, logits}, c.targets, options, &details[i]);
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

// PyTorch's cross entropy is the same thing, without mining.
TEST(MultiboxLoss, SmoothingAndClassWeightsEqualCrossEntropy) {
  at::manual_seed(6);
  const Case c = RandomCase(2, 80, 4, at::kDouble);
  const Tensor logits = c.predictions.class_logits.flatten(0, 1);
  const Tensor labels = c.targets.labels.flatten();
  const auto cross_entropy = [&](const std::optional<Tensor>& weight, double smoothing) {
    return at::cross_entropy_loss(logits, labels, weight, at::Reduction::Sum, /*ignore_index=*/-1,
                                  smoothing);
  };
  for (const Way& way : kWays) {
    const auto classification = [&](const char* text) {
      return way.terms(c.predictions, c.targets, Options(text), nullptr).classification;
    };
    golden::ExpectNear(classification("mining: NONE normalizer: NONE label_smoothing: 0.3"),
                       cross_entropy(std::nullopt, 0.3), "smoothing by PyTorch");
    golden::ExpectNear(classification("mining: NONE normalizer: NONE class_weight: [2, 0.5, 0]"),
                       cross_entropy(at::tensor({1.0, 2.0, 0.5, 0.0}, at::kDouble), 0),
                       "weights by PyTorch");
  }
}

TEST(MultiboxLoss, SigmoidsEqualBinaryCrossEntropy) {
  at::manual_seed(7);
  Case c = RandomCase(2, 80, 4, at::kDouble);
  c.predictions.class_logits = c.predictions.class_logits.narrow(-1, 1, 3).contiguous();
  const Tensor& logits = c.predictions.class_logits;
  const Tensor own = c.targets.labels.unsqueeze(-1) == at::arange(1, 4);
  for (const double smoothing : {0.0, 0.2}) {
    const Tensor target = own.to(at::kDouble) * (1 - smoothing) + smoothing / 2;
    const Tensor expected =
        at::binary_cross_entropy_with_logits(logits, target, {}, {}, at::Reduction::None).sum(-1);
    // Ranked without smoothing.
    const Tensor rank_by = at::binary_cross_entropy_with_logits(logits, own.to(at::kDouble), {}, {},
                                                                at::Reduction::None)
                               .sum(-1);
    for (const bool mine : {true, false}) {
      const auto loss = Create(absl::StrCat("label_smoothing: ", smoothing, " normalizer: NONE",
                                            mine ? "" : " mining: NONE"),
                               3, /*sigmoid=*/true);
      ASSERT_TRUE(loss.ok()) << loss.status();
      LossDetail detail;
      const Losses losses = (*loss)->Compute(c.predictions, c.targets, nullptr, &detail);
      golden::ExpectNear(losses.classification, at::where(detail.chosen, expected, 0.0).sum(),
                         "sigmoids by PyTorch");
      for (int64_t b = 0; b < 2; ++b) {
        const Tensor labels = c.targets.labels[b];
        const Tensor negative = (labels == 0);
        const int64_t wanted =
            mine ? 3 * (labels > 0).sum().item<int64_t>() : negative.sum().item<int64_t>();
        const Tensor mined = detail.chosen[b].logical_and(negative);
        EXPECT_EQ(mined.sum().item<int64_t>(), wanted);
        const Tensor left = negative.logical_and(mined.logical_not());
        if (!left.any().item<bool>()) continue;
        EXPECT_GE(rank_by[b].masked_select(mined).min().item<double>(),
                  rank_by[b].masked_select(left).max().item<double>());
      }
    }
  }
}

TEST(MultiboxLoss, MinNegativesAreKeptOfEveryImage) {
  at::manual_seed(8);
  Case c = RandomCase(3, 60, 5, at::kFloat);
  c.targets.labels.clamp_(-1, 0);
  c.targets.labels[1][7] = 2;
  c.targets.labels[2].zero_();
  c.targets.labels[2].narrow(0, 0, 10).fill_(1);
  const Tensor hardness =
      c.predictions.class_logits.logsumexp(-1) - c.predictions.class_logits.select(-1, 0);
  const int64_t expected[] = {5, 5, 30};
  for (const Way& way : kWays) {
    LossDetail detail;
    const MultiboxTerms terms =
        way.terms(c.predictions, c.targets, Options("min_negatives: 5"), &detail);
    EXPECT_GT(terms.classification.item<float>(), 0);
    for (int64_t b = 0; b < 3; ++b) {
      const Tensor negative = c.targets.labels[b] == 0;
      const Tensor mined = detail.chosen[b].logical_and(negative);
      ASSERT_EQ(mined.sum().item<int64_t>(), expected[b]) << way.name;
      EXPECT_GE(
          hardness[b].masked_select(mined).min().item<float>(),
          hardness[b].masked_select(negative.logical_and(mined.logical_not())).max().item<float>());
    }
    // Images without truth alone: nothing to divide by, and something to learn.
    const Predictions first{c.predictions.box_codes.narrow(0, 0, 1),
                            c.predictions.class_logits.narrow(0, 0, 1)};
    const Targets none{c.targets.labels.narrow(0, 0, 1), c.targets.box_codes.narrow(0, 0, 1),
                       c.targets.boxes.narrow(0, 0, 1)};
    for (const char* normalizer : {"BATCH_POSITIVES", "IMAGE_POSITIVES", "BATCH_SIZE", "NONE"}) {
      const MultiboxTerms alone = way.terms(
          first, none, Options(absl::StrCat("min_negatives: 5 normalizer: ", normalizer)), nullptr);
      const Tensor hardest = std::get<0>(hardness[0].masked_select(none.labels[0] == 0).topk(5));
      EXPECT_NEAR(alone.classification.item<float>(), hardest.sum().item<float>(), 1e-5);
      EXPECT_EQ(alone.localization.item<float>(), 0);
    }
  }
}

// A batch of one image with no truth, one over the whole image, and 300; either type; each term.
TEST(MultiboxLoss, AnyTruthAndTypeIsFinite) {
  at::manual_seed(9);
  const Case c = RandomCase(1, 400, 5, at::kFloat);
  for (const char* term : kLocalizationTerms) {
    for (const bool sigmoid : {false, true}) {
      const auto loss = Create(absl::StrCat("localization: ", term), sigmoid ? 5 : 4, sigmoid);
      ASSERT_TRUE(loss.ok()) << loss.status();
      for (const int64_t truths : {0, 1, 300}) {
        Targets targets = c.targets;
        targets.labels = at::zeros({1, 400}, at::kLong);
        targets.labels.narrow(1, 0, truths).fill_(3);
        if (truths == 1) targets.boxes = at::tensor({0.f, 0.f, 1.f, 1.f}).expand({1, 400, 4});
        for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
          const Tensor logits = c.predictions.class_logits.to(type).detach().requires_grad_(true);
          const Tensor codes = c.predictions.box_codes.to(type).detach().requires_grad_(true);
          const Losses losses = (*loss)->Compute({codes, logits}, targets, Decode, nullptr);
          EXPECT_EQ(losses.total.scalar_type(), at::kFloat);
          EXPECT_TRUE(std::isfinite(losses.total.item<float>())) << term;
          EXPECT_EQ(losses.total.item<float>() > 0, truths > 0) << term;
          losses.total.backward();
          EXPECT_EQ(logits.grad().scalar_type(), type);
          EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>()) << term;
          if (codes.grad().defined()) {
            EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>()) << term;
          }
        }
      }
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
  const auto loss = Create("localization_weight: 2", 5);
  ASSERT_TRUE(loss.ok());
  const Tensor logits = c.predictions.class_logits.to(at::kBFloat16).requires_grad_(true);
  const Tensor codes = c.predictions.box_codes.to(at::kBFloat16).requires_grad_(true);
  const Losses half = (*loss)->Compute({codes, logits}, c.targets, nullptr, nullptr);
  const Losses full = (*loss)->Compute(
      {codes.detach().to(at::kFloat), logits.detach().to(at::kFloat)}, c.targets, nullptr, nullptr);
  EXPECT_EQ(half.total.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(half.total, full.total));
  EXPECT_FLOAT_EQ(half.total.item<float>(),
                  (half.classification + half.localization).item<float>());
  half.total.backward();
  EXPECT_EQ(logits.grad().scalar_type(), at::kBFloat16);
  EXPECT_EQ(codes.grad().scalar_type(), at::kBFloat16);
}

TEST(MultiboxLoss, BadOptionsNameTheField) {
  for (const char* options :
       {"negatives_per_positive: -1", "negatives_per_positive: nan", "localization_weight: -1",
        "localization_weight: inf", "smooth_l1_beta: 0", "smooth_l1_beta: nan", "min_negatives: -1",
        "label_smoothing: 1", "label_smoothing: -0.1", "label_smoothing: nan",
        "class_weight: [1, 2]", "class_weight: [1, 2, 3, 4]", "class_weight: [1, -1, 1]",
        "class_weight: [1, inf, 1]", "min_negatives: 3 mining: NONE",
        "negatives_per_positive: 2 mining: NONE", "smooth_l1_beta: 0.1 localization: GIOU"}) {
    const absl::Status status = Create(options, 3).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << options;
    const std::string field(options, std::string(options).find(':'));
    EXPECT_NE(status.message().find("loss.multibox." + field), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace ssd
