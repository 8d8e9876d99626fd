// What every registered anchor generator, matcher, box coder, loss and post-processor keeps, with
// its default options: a component is tested here from the day it is registered.

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "ssd/anchors/anchor_file.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/coders/box_coder.h"
#include "ssd/core/boxes.h"
#include "ssd/losses/loss.h"
#include "ssd/matchers/matcher.h"
#include "ssd/postprocess/post_processor.h"

namespace ssd {
namespace {

// A family's config that names the component of this options type, with its defaults.
template <typename Config>
Config ConfigOf(const std::string& options_name) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Descriptor* const family = Config::descriptor();
  std::vector<const FieldDescriptor*> fields;
  family->file()->pool()->FindAllExtensions(family, &fields);
  for (int i = 0; i < family->field_count(); ++i) fields.push_back(family->field(i));
  Config config;
  for (const FieldDescriptor* field : fields) {
    if (field->message_type() != nullptr && field->message_type()->full_name() == options_name) {
      config.GetReflection()->MutableMessage(&config, field);
    }
  }
  return config;
}

template <typename Families, typename Config, typename Context>
auto Create(const std::string& options_name, const Context& context) {
  auto component = Families::Get().Create(ConfigOf<Config>(options_name), context);
  EXPECT_TRUE(component.ok()) << component.status();
  return *std::move(component);
}

// A component, and where it runs.
using NameAndDevice = std::tuple<std::string, at::DeviceType>;
// Also whether the class head has sigmoids.
using NameSigmoidAndDevice = std::tuple<std::string, bool, at::DeviceType>;

std::string WithoutDots(std::string name) {
  for (char& c : name) c = c == '.' ? '_' : c;
  return name;
}

std::string DeviceName(at::DeviceType device) { return device == at::kCUDA ? "_cuda" : "_cpu"; }

std::string TestName(const ::testing::TestParamInfo<std::string>& info) {
  return WithoutDots(info.param);
}

std::string TestNameWithDevice(const ::testing::TestParamInfo<NameAndDevice>& info) {
  const auto& [component, device] = info.param;
  return WithoutDots(component) + DeviceName(device);
}

std::string TestNameWithHead(const ::testing::TestParamInfo<NameSigmoidAndDevice>& info) {
  const auto& [component, sigmoid, device] = info.param;
  return WithoutDots(component) + (sigmoid ? "_sigmoid" : "_softmax") + DeviceName(device);
}

// A component's tests on the device of the parameter; those of CUDA are skipped where there is
// none.
template <typename Param>
class OnDevice : public ::testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    if (device().is_cuda() && !at::hasCUDA()) GTEST_SKIP() << "there is no CUDA device";
  }

  at::Device device() const { return at::Device(std::get<at::DeviceType>(this->GetParam())); }
};

std::vector<FeatureSpec> Maps(const std::vector<std::pair<int64_t, int64_t>>& sizes) {
  std::vector<FeatureSpec> specs;
  for (const auto& [height, width] : sizes) {
    FeatureSpec spec;
    spec.height = height;
    spec.width = width;
    spec.stride_y = 300.0 / static_cast<double>(height);
    spec.stride_x = 300.0 / static_cast<double>(width);
    spec.first_center_y = spec.stride_y / 2;
    spec.first_center_x = spec.stride_x / 2;
    specs.push_back(spec);
  }
  return specs;
}

// A grid of anchors of several sizes, as SSD's.
Anchors GridAnchors(at::Device device) {
  std::vector<Tensor> boxes;
  Anchors anchors;
  for (const int64_t cells : {8, 4, 2, 1}) {
    const Tensor center = (at::arange(cells, at::kFloat) + 0.5) / cells;
    const Tensor y = center.view({cells, 1, 1}).expand({cells, cells, 3});
    const Tensor x = center.view({1, cells, 1}).expand({cells, cells, 3});
    const Tensor w = at::tensor({1.0f, 1.4f, 0.7f}).expand({cells, cells, 3}) / cells;
    const Tensor h = at::tensor({1.0f, 0.7f, 1.4f}).expand({cells, cells, 3}) / cells;
    boxes.push_back(at::stack({x, y, w, h}, -1).view({-1, 4}));
    anchors.per_level.push_back(boxes.back().size(0));
  }
  anchors.boxes = at::cat(boxes).to(device);
  return anchors;
}

Tensor RandomCorners(at::IntArrayRef shape) {
  std::vector<int64_t> pairs = shape.vec();
  pairs.push_back(2);
  const Tensor low = at::rand(pairs) * 0.8;
  return at::cat({low, low + at::rand(pairs) * 0.5 + 0.05}, -1);
}

Truth RandomTruth(int64_t batch, int64_t padded) {
  Truth truth;
  truth.boxes = RandomCorners({batch, padded});
  truth.labels = at::randint(0, 4, {batch, padded}, at::kLong);
  truth.ignore = at::rand({batch, padded}) < 0.2;
  return truth;
}

Truth To(const Truth& truth, at::Device device) {
  return {truth.boxes.to(device), truth.labels.to(device), truth.ignore.to(device)};
}

Truth Image(const Truth& truth, int64_t b) {
  return {truth.boxes.narrow(0, b, 1), truth.labels.narrow(0, b, 1), truth.ignore.narrow(0, b, 1)};
}

// The generator's defaults; for those that have none, the least that these maps need.
AnchorGeneratorConfig AnchorConfig(const std::string& options_name,
                                   const std::vector<FeatureSpec>& levels) {
  AnchorGeneratorConfig config = ConfigOf<AnchorGeneratorConfig>(options_name);
  if (config.has_fixed_size()) {
    for (size_t k = 0; k < levels.size(); ++k) {
      FixedSizeAnchorsOptions::Level& level = *config.mutable_fixed_size()->add_level();
      level.add_min_size(30);
      level.add_aspect_ratio(2);
    }
  } else if (config.has_grid()) {
    for (size_t k = 0; k < levels.size(); ++k) {
      GridAnchorsOptions::Boxes& boxes = *config.mutable_grid()->add_level()->add_boxes();
      boxes.add_scale(50);
      boxes.add_scale(53);
    }
  } else if (config.has_from_file()) {
    AnchorGeneratorConfig scales;
    scales.mutable_ssd();
    const auto generator =
        AnchorGeneratorRegistry::Get().Create(scales, {static_cast<int64_t>(levels.size())});
    const std::string path = ::testing::TempDir() + "/anchors.npy";
    const absl::Status written =
        WriteAnchorFile(path, (*generator)->Generate(levels, {300, 300})->boxes);
    EXPECT_TRUE(written.ok()) << written;
    config.mutable_from_file()->set_path(path);
    for (const int64_t count : (*generator)->AnchorsPerCell()) {
      config.mutable_from_file()->add_per_cell(count);
    }
  }
  return config;
}

using AnchorGeneratorContract = ::testing::TestWithParam<std::string>;

TEST_P(AnchorGeneratorContract, GeneratesWhatItCounts) {
  const std::vector<std::vector<std::pair<int64_t, int64_t>>> pyramids = {
      {{7, 7}}, {{38, 38}, {19, 19}, {10, 10}, {5, 5}, {3, 3}, {1, 1}}, {{6, 9}, {3, 5}, {1, 1}}};
  for (const auto& sizes : pyramids) {
    const std::vector<FeatureSpec> levels = Maps(sizes);
    const auto created = AnchorGeneratorRegistry::Get().Create(
        AnchorConfig(GetParam(), levels), {static_cast<int64_t>(levels.size())});
    ASSERT_TRUE(created.ok()) << created.status();
    const AnchorGenerator* const generator = created->get();
    const std::vector<int64_t> per_cell = generator->AnchorsPerCell();
    ASSERT_EQ(per_cell.size(), levels.size());
    const absl::StatusOr<Anchors> generated = generator->Generate(levels, {300, 300});
    ASSERT_TRUE(generated.ok()) << generated.status();
    const Anchors& anchors = *generated;
    ASSERT_EQ(anchors.per_level.size(), levels.size());
    int64_t total = 0;
    for (size_t k = 0; k < levels.size(); ++k) {
      EXPECT_GT(per_cell[k], 0);
      EXPECT_EQ(anchors.per_level[k], per_cell[k] * levels[k].height * levels[k].width);
      total += anchors.per_level[k];
    }
    ASSERT_EQ(anchors.boxes.sizes(), at::IntArrayRef({total, 4}));
    EXPECT_EQ(anchors.boxes.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::isfinite(anchors.boxes).all().item<bool>());
    EXPECT_GT(anchors.boxes.narrow(1, 2, 2).min().item<float>(), 0);
    EXPECT_TRUE(at::equal(generator->Generate(levels, {300, 300})->boxes, anchors.boxes));
    // For an image of the input's own size; for one of twice the size and the same cells, boxes of
    // half the share.
    const auto same = generator->GenerateForImage(levels, {300, 300}, {300, 300});
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_TRUE(at::allclose(same->boxes, anchors.boxes, 0, 1e-6));
    EXPECT_EQ(same->per_level, anchors.per_level);
    const auto larger = generator->GenerateForImage(levels, {300, 300}, {600, 600});
    ASSERT_TRUE(larger.ok()) << larger.status();
    EXPECT_TRUE(
        at::allclose(larger->boxes.narrow(1, 2, 2) * 2, anchors.boxes.narrow(1, 2, 2), 0, 1e-6));
    // Row, column, then shape: the first row's centres do not move down, and a cell's stay
    // together.
    for (int64_t i = 1; i < per_cell[0]; ++i) {
      EXPECT_TRUE(at::allclose(anchors.boxes[i].narrow(0, 0, 2), anchors.boxes[0].narrow(0, 0, 2)));
    }
    const int64_t row = per_cell[0] * levels[0].width;
    EXPECT_TRUE(at::allclose(anchors.boxes.narrow(0, 0, row).select(1, 1),
                             anchors.boxes[0][1].expand({row})));
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, AnchorGeneratorContract,
                         ::testing::ValuesIn(AnchorGeneratorRegistry::Get().Names()), TestName);

class MatcherContract : public OnDevice<NameAndDevice> {
 protected:
  MatcherContract()
      : matcher_(
            Create<MatcherRegistry, MatcherConfig>(std::get<0>(GetParam()), MatcherContext{})) {
    at::manual_seed(11);
  }

  // On the device of the test; the result on the CPU.
  Tensor Match(const Truth& truth) const {
    return matcher_->Match(To(truth, device()), GridAnchors(device())).cpu();
  }

  std::unique_ptr<Matcher> matcher_;
};

TEST_P(MatcherContract, NamesUsableRowsOnly) {
  for (const int64_t padded : {12, 300}) {
    const Truth truth = RandomTruth(4, padded);
    const Tensor matches = Match(truth);
    ASSERT_EQ(matches.sizes(), at::IntArrayRef({4, GridAnchors(at::kCPU).boxes.size(0)}));
    ASSERT_EQ(matches.scalar_type(), at::kLong);
    EXPECT_GE(matches.min().item<int64_t>(), Matcher::kIgnored);
    EXPECT_LT(matches.max().item<int64_t>(), padded);
    EXPECT_GE(matches.max().item<int64_t>(), 0);
    const Tensor row = matches.clamp_min(0);
    const Tensor usable = (truth.labels > 0).logical_and(truth.ignore.logical_not());
    EXPECT_TRUE(usable.gather(1, row).logical_or(matches < 0).all().item<bool>());
  }
}

TEST_P(MatcherContract, DevicesAgree) {
  for (const int64_t padded : {7, 300}) {
    const Truth truth = RandomTruth(3, padded);
    EXPECT_TRUE(at::equal(Match(truth), matcher_->Match(truth, GridAnchors(at::kCPU))));
  }
}

TEST_P(MatcherContract, ImagesAreIndependent) {
  Truth truth = RandomTruth(5, 16);
  truth.labels[2].zero_();
  const Tensor together = Match(truth);
  for (int64_t b = 0; b < 5; ++b) {
    EXPECT_TRUE(at::equal(Match(Image(truth, b))[0], together[b]));
  }
  // Padding changes nothing either.
  Truth padded = truth;
  padded.boxes = at::cat({truth.boxes, RandomCorners({5, 8})}, 1);
  padded.labels = at::cat({truth.labels, at::zeros({5, 8}, at::kLong)}, 1);
  padded.ignore = at::cat({truth.ignore, at::zeros({5, 8}, at::kBool)}, 1);
  EXPECT_TRUE(at::equal(Match(padded), together));
}

TEST_P(MatcherContract, EmptyTruthMatchesNothing) {
  for (const int64_t padded : {0, 8}) {
    Truth truth = RandomTruth(2, padded);
    truth.labels.zero_();
    EXPECT_TRUE((Match(truth) == Matcher::kUnmatched).all().item<bool>());
  }
}

TEST_P(MatcherContract, OneTruthOverTheWholeImageIsMatched) {
  Truth truth;
  truth.boxes = at::tensor({0.0f, 0.0f, 1.0f, 1.0f}).view({1, 1, 4});
  truth.labels = at::ones({1, 1}, at::kLong);
  truth.ignore = at::zeros({1, 1}, at::kBool);
  EXPECT_GE((Match(truth) == 0).sum().item<int64_t>(), 1);
}

TEST_P(MatcherContract, EachAnchorItselfIsMatchedByIt) {
  const Anchors anchors = GridAnchors(at::kCPU);
  Truth truth;
  truth.boxes = CornersFromCenters(anchors.boxes).index_select(0, at::tensor({0, 50, 200, 254}));
  truth.boxes = truth.boxes.unsqueeze(0);
  truth.labels = at::ones({1, 4}, at::kLong);
  truth.ignore = at::zeros({1, 4}, at::kBool);
  const Tensor matches = Match(truth)[0];
  const int64_t rows[] = {0, 50, 200, 254};
  for (int64_t g = 0; g < 4; ++g) EXPECT_EQ(matches[rows[g]].item<int64_t>(), g);
}

INSTANTIATE_TEST_SUITE_P(Registered, MatcherContract,
                         ::testing::Combine(::testing::ValuesIn(MatcherRegistry::Get().Names()),
                                            ::testing::Values(at::kCPU, at::kCUDA)),
                         TestNameWithDevice);

class BoxCoderContract : public OnDevice<NameAndDevice> {
 protected:
  BoxCoderContract()
      : coder_(
            Create<BoxCoderRegistry, BoxCoderConfig>(std::get<0>(GetParam()), BoxCoderContext{})) {
    at::manual_seed(12);
  }
  std::unique_ptr<BoxCoder> coder_;
};

TEST_P(BoxCoderContract, DecodeInvertsEncode) {
  const Tensor anchors = GridAnchors(device()).boxes;
  const Tensor boxes = RandomCorners({3, anchors.size(0)}).to(device());
  const Tensor codes = coder_->Encode(boxes, anchors);
  ASSERT_EQ(codes.sizes(), boxes.sizes());
  EXPECT_TRUE(at::allclose(coder_->Decode(codes, anchors), boxes, 0, 2e-6));
  // Leading dimensions are independent; there may be none.
  EXPECT_TRUE(at::equal(coder_->Encode(boxes[1], anchors), codes[1]));
  EXPECT_TRUE(at::equal(coder_->Decode(codes[2], anchors), coder_->Decode(codes, anchors)[2]));
  EXPECT_EQ(coder_->Decode(codes.narrow(0, 0, 0), anchors).size(0), 0);
}

TEST_P(BoxCoderContract, AnyBoxIsFinite) {
  const Tensor anchors = GridAnchors(device()).boxes;
  const Tensor empty = at::full({anchors.size(0), 4}, 0.5).to(device());
  EXPECT_TRUE(at::isfinite(coder_->Encode(empty, anchors)).all().item<bool>());
}

// What a network predicts under autocast is half a number; positions need a whole one.
TEST_P(BoxCoderContract, HalfTypesBecomeFloat32) {
  const Tensor anchors = GridAnchors(device()).boxes;
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const Tensor codes = at::randn({2, anchors.size(0), 4}).to(device()).to(type);
    const Tensor boxes = coder_->Decode(codes, anchors);
    EXPECT_EQ(boxes.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(boxes, coder_->Decode(codes.to(at::kFloat), anchors)));
    const Tensor rounded = RandomCorners({anchors.size(0)}).to(device()).to(type);
    const Tensor encoded = coder_->Encode(rounded, anchors);
    EXPECT_EQ(encoded.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(encoded, coder_->Encode(rounded.to(at::kFloat), anchors)));
    const Tensor leaf = codes.detach().requires_grad_(true);
    coder_->Decode(leaf, anchors).sum().backward();
    EXPECT_EQ(leaf.grad().scalar_type(), type);
  }
}

TEST_P(BoxCoderContract, CodesBeyondAllMeasureStayFinite) {
  const Tensor anchors = GridAnchors(device()).boxes;
  for (const double size : {1e4, -1e4, 1e6, -1e6}) {
    const Tensor codes = at::full({anchors.size(0), 4}, size).to(device()).requires_grad_(true);
    const Tensor boxes = coder_->Decode(codes, anchors);
    EXPECT_TRUE(at::isfinite(boxes).all().item<bool>()) << size;
    boxes.sum().backward();
    EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>()) << size;
  }
}

TEST_P(BoxCoderContract, DecodeIsDifferentiable) {
  const Tensor anchors = GridAnchors(device()).boxes.narrow(0, 100, 5).to(at::kDouble);
  const Tensor codes = at::randn({5, 4}, at::kDouble).to(device()).requires_grad_(true);
  const Tensor weights = at::randn({5, 4}, at::kDouble).to(device());
  const auto value = [&](const Tensor& c) { return (coder_->Decode(c, anchors) * weights).sum(); };
  value(codes).backward();
  constexpr double kStep = 1e-6;
  at::NoGradGuard no_grad;
  for (int64_t i = 0; i < 20; ++i) {
    const Tensor step = at::zeros({20}, at::kDouble);
    step[i] = kStep;
    const Tensor by = step.view({5, 4}).to(device());
    const double slope = (value(codes + by) - value(codes - by)).item<double>() / (2 * kStep);
    EXPECT_NEAR(codes.grad().flatten()[i].item<double>(), slope, 1e-7);
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, BoxCoderContract,
                         ::testing::Combine(::testing::ValuesIn(BoxCoderRegistry::Get().Names()),
                                            ::testing::Values(at::kCPU, at::kCUDA)),
                         TestNameWithDevice);

class LossContract : public OnDevice<NameSigmoidAndDevice> {
 protected:
  static constexpr int64_t kAnchors = 60;
  static constexpr int64_t kClasses = 4;

  LossContract()
      : sigmoid_(std::get<1>(GetParam())),
        loss_(Create<LossRegistry, LossConfig>(std::get<0>(GetParam()),
                                               LossContext{kClasses, sigmoid_})) {
    at::manual_seed(13);
  }

  Predictions RandomPredictions(int64_t batch, int64_t anchors = kAnchors) const {
    return {at::randn({batch, anchors, 4}).to(device()),
            at::randn({batch, anchors, kClasses + (sigmoid_ ? 0 : 1)}).to(device())};
  }

  Targets RandomTargets(int64_t batch, int64_t anchors = kAnchors) const {
    Targets targets;
    const Tensor kind = at::rand({batch, anchors});
    targets.labels =
        at::where(kind < 0.1, at::randint(1, kClasses + 1, {batch, anchors}, at::kLong),
                  at::where(kind < 0.15, -1, 0));
    targets.labels = targets.labels.to(device());
    targets.boxes = RandomCorners({batch, anchors}).to(device());
    targets.box_codes = at::randn({batch, anchors, 4}).to(device());
    return targets;
  }

  // Boxes of a size near that of the whole image, whatever the codes.
  static Tensor Decode(const Tensor& codes) {
    const Tensor low = codes.narrow(-1, 0, 2) * 0.05 + 0.2;
    return at::cat({low, low + 0.5 * (codes.narrow(-1, 2, 2) * 0.1).exp()}, -1);
  }

  const bool sigmoid_;
  std::unique_ptr<Loss> loss_;
};

TEST_P(LossContract, IsFiniteWhateverMatches) {
  for (const int64_t kind : {0, 1, 2}) {
    Targets targets = RandomTargets(3);
    if (kind == 1) targets.labels.zero_();    // no truth at all
    if (kind == 2) targets.labels.fill_(-1);  // everything ignored
    const Predictions random = RandomPredictions(3);
    const Tensor codes = random.box_codes.requires_grad_(true);
    const Tensor logits = random.class_logits.requires_grad_(true);
    const Losses losses = loss_->Compute({codes, logits}, targets, Decode);
    for (const Tensor& term : {losses.total, losses.classification, losses.localization}) {
      EXPECT_EQ(term.dim(), 0);
      EXPECT_EQ(term.scalar_type(), at::kFloat);
      EXPECT_TRUE(at::isfinite(term).item<bool>());
      EXPECT_GE(term.item<float>(), 0);
    }
    losses.total.backward();
    EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>());
    EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>());
    if (kind != 0) {
      EXPECT_EQ(losses.localization.item<float>(), 0);
    }
    if (kind == 2) {
      EXPECT_EQ(losses.total.item<float>(), 0);
    }
  }
}

// One image with no truth, one truth that is the whole image, and 300; either type.
TEST_P(LossContract, IsFiniteForAnyTruthAndType) {
  constexpr int64_t kMany = 400;
  const Predictions random = RandomPredictions(1, kMany);
  for (const int64_t truths : {0, 1, 300}) {
    Targets targets = RandomTargets(1, kMany);
    targets.labels.zero_();
    targets.labels.narrow(1, 0, truths).fill_(kClasses);
    if (truths == 1) {
      targets.boxes = at::tensor({0.f, 0.f, 1.f, 1.f}).expand({1, kMany, 4}).to(device());
    }
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const Tensor codes = random.box_codes.to(type).detach().requires_grad_(true);
      const Tensor logits = random.class_logits.to(type).detach().requires_grad_(true);
      const Losses losses = loss_->Compute({codes, logits}, targets, Decode);
      EXPECT_EQ(losses.total.scalar_type(), at::kFloat);
      EXPECT_TRUE(at::isfinite(losses.total).item<bool>());
      EXPECT_EQ(losses.localization.item<float>() > 0, truths > 0);
      losses.total.backward();
      EXPECT_EQ(codes.grad().scalar_type(), type);
      EXPECT_EQ(logits.grad().scalar_type(), type);
      EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>());
      EXPECT_TRUE(at::isfinite(logits.grad()).all().item<bool>());
    }
  }
}

TEST_P(LossContract, DevicesAgree) {
  const Targets targets = RandomTargets(3);
  const Predictions predictions = RandomPredictions(3);
  const float found = loss_->Compute(predictions, targets, Decode).total.item<float>();
  const float expected =
      loss_
          ->Compute({predictions.box_codes.cpu(), predictions.class_logits.cpu()},
                    {targets.labels.cpu(), targets.box_codes.cpu(), targets.boxes.cpu()}, Decode)
          .total.item<float>();
  EXPECT_NEAR(found, expected, 1e-5 * expected);
}

TEST_P(LossContract, GradientsEqualFiniteDifferences) {
  const Targets targets = RandomTargets(2);
  const Predictions random = RandomPredictions(2);
  const Tensor codes = random.box_codes.to(at::kDouble).requires_grad_(true);
  const Tensor logits = random.class_logits.to(at::kDouble).requires_grad_(true);
  const Losses losses = loss_->Compute({codes, logits}, targets, Decode);
  EXPECT_EQ(losses.total.scalar_type(), at::kDouble);
  losses.total.backward();
  constexpr double kStep = 1e-6;
  at::NoGradGuard no_grad;
  for (const bool of_codes : {true, false}) {
    const Tensor grad = (of_codes ? codes : logits).grad().flatten();
    for (int64_t i = 0; i < grad.numel(); i += 3) {
      const auto moved = [&](double by) {
        const Predictions p{codes.detach().clone(), logits.detach().clone()};
        (of_codes ? p.box_codes : p.class_logits).view({-1})[i] += by;
        return loss_->Compute(p, targets, Decode).total.item<double>();
      };
      EXPECT_NEAR(grad[i].item<double>(), (moved(kStep) - moved(-kStep)) / (2 * kStep), 1e-6);
    }
  }
}

TEST_P(LossContract, IgnoredAnchorsDoNotMatter) {
  const Targets targets = RandomTargets(2);
  const Predictions predictions = RandomPredictions(2);
  const Losses before = loss_->Compute(predictions, targets, Decode);
  const Tensor ignored = (targets.labels == -1).unsqueeze(-1);
  const Losses after = loss_->Compute({predictions.box_codes.masked_fill(ignored, 9),
                                       predictions.class_logits.masked_fill(ignored, -7)},
                                      targets, Decode);
  EXPECT_TRUE(at::equal(before.total, after.total));
}

TEST_P(LossContract, DetailIsDetachedAndComplete) {
  const Targets targets = RandomTargets(2);
  const Predictions random = RandomPredictions(2);
  const Tensor codes = random.box_codes.requires_grad_(true);
  const Tensor logits = random.class_logits.requires_grad_(true);
  LossDetail detail;
  loss_->Compute({codes, logits}, targets, Decode, &detail);
  for (const Tensor& tensor : {detail.classification, detail.localization, detail.chosen}) {
    EXPECT_EQ(tensor.sizes(), targets.labels.sizes());
    EXPECT_FALSE(tensor.requires_grad());
  }
  EXPECT_EQ(detail.chosen.scalar_type(), at::kBool);
  EXPECT_TRUE(detail.chosen.masked_select(targets.labels > 0).all().item<bool>());
  EXPECT_FALSE(detail.chosen.masked_select(targets.labels < 0).any().item<bool>());
  EXPECT_EQ(detail.localization.masked_select(targets.labels <= 0).abs().sum().item<float>(), 0);
}

INSTANTIATE_TEST_SUITE_P(Registered, LossContract,
                         ::testing::Combine(::testing::ValuesIn(LossRegistry::Get().Names()),
                                            ::testing::Bool(),
                                            ::testing::Values(at::kCPU, at::kCUDA)),
                         TestNameWithHead);

// Losses on boxes, with the coders that make them: codes that have grown beyond all measure leave
// the gradient finite, so that the step after them is not lost.
class LossOnBoxesContract : public OnDevice<NameAndDevice> {};

TEST_P(LossOnBoxesContract, IsFiniteForCodesBeyondAllMeasure) {
  at::manual_seed(15);
  const auto coder =
      Create<BoxCoderRegistry, BoxCoderConfig>(std::get<0>(GetParam()), BoxCoderContext{});
  const Tensor anchors = GridAnchors(device()).boxes;
  const BoxDecoder decode = [&](const Tensor& codes) { return coder->Decode(codes, anchors); };
  Targets targets;
  targets.labels = at::ones({1, anchors.size(0)}, at::kLong).to(device());
  targets.boxes = RandomCorners({1, anchors.size(0)}).to(device());
  targets.box_codes = coder->Encode(targets.boxes, anchors);
  for (const auto term : {LocalizationTerm::IOU, LocalizationTerm::GIOU, LocalizationTerm::DIOU,
                          LocalizationTerm::CIOU}) {
    LossConfig multibox;
    multibox.mutable_multibox()->set_localization(term);
    LossConfig focal;
    focal.mutable_focal()->set_localization(term);
    for (const LossConfig& config : {multibox, focal}) {
      const auto loss = LossRegistry::Get().Create(config, {3, /*sigmoid=*/false});
      ASSERT_TRUE(loss.ok()) << loss.status();
      for (const double size : {1.0, 1e4}) {
        const Tensor codes =
            (at::randn({1, anchors.size(0), 4}) * size).to(device()).requires_grad_(true);
        const Tensor logits = at::randn({1, anchors.size(0), 4}).to(device()).requires_grad_(true);
        const Losses losses = (*loss)->Compute({codes, logits}, targets, decode);
        EXPECT_TRUE(at::isfinite(losses.total).item<bool>()) << config.ShortDebugString();
        losses.total.backward();
        EXPECT_TRUE(at::isfinite(codes.grad()).all().item<bool>()) << config.ShortDebugString();
        if (size == 1) {
          EXPECT_GT(codes.grad().abs().max().item<float>(), 0) << config.ShortDebugString();
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Registered, LossOnBoxesContract,
                         ::testing::Combine(::testing::ValuesIn(BoxCoderRegistry::Get().Names()),
                                            ::testing::Values(at::kCPU, at::kCUDA)),
                         TestNameWithDevice);

class PostProcessorContract : public OnDevice<NameSigmoidAndDevice> {
 protected:
  static constexpr int64_t kClasses = 3;

  PostProcessorContract()
      : sigmoid_(std::get<1>(GetParam())),
        processor_(Create<PostProcessorRegistry, PostProcessorConfig>(
            std::get<0>(GetParam()), PostProcessorContext{kClasses, sigmoid_})) {
    at::manual_seed(14);
  }

  // Logits as the head gives them, of [B, A, C + 1] with the background first.
  Tensor Logits(const Tensor& with_background) const {
    return sigmoid_ ? with_background.narrow(2, 1, kClasses) : with_background;
  }

  const bool sigmoid_;
  std::unique_ptr<PostProcessor> processor_;
};

TEST_P(PostProcessorContract, OutputIsSortedPaddedAndIndependentOfTheBatch) {
  const Tensor boxes = RandomCorners({4, 300}).to(device());
  const Tensor logits = Logits(at::randn({4, 300, kClasses + 1}) * 2).to(device());
  logits[2].narrow(1, sigmoid_ ? 0 : 1, kClasses) -= 50;  // an image of background
  const Detections all = processor_->Process(boxes, logits);
  EXPECT_EQ(all.boxes.device(), boxes.device());
  const int64_t rows = all.scores.size(1);
  ASSERT_EQ(all.boxes.sizes(), at::IntArrayRef({4, rows, 4}));
  ASSERT_EQ(all.labels.sizes(), at::IntArrayRef({4, rows}));
  ASSERT_EQ(all.counts.sizes(), at::IntArrayRef({4}));
  for (int64_t b = 0; b < 4; ++b) {
    const int64_t count = all.counts[b].item<int64_t>();
    ASSERT_LE(count, rows);
    if (b == 2) {
      EXPECT_EQ(count, 0);
    }
    const Tensor scores = all.scores[b];
    EXPECT_TRUE(
        (scores.narrow(0, 0, rows - 1) >= scores.narrow(0, 1, rows - 1)).all().item<bool>());
    EXPECT_LE(scores.max().item<float>(), 1.00001f);
    EXPECT_TRUE((all.labels[b].narrow(0, 0, count) >= 1).all().item<bool>());
    EXPECT_TRUE((all.labels[b] <= kClasses).all().item<bool>());
    for (const Tensor& rest : {all.boxes[b], all.scores[b], all.labels[b]}) {
      EXPECT_FALSE(rest.narrow(0, count, rows - count).any().item<bool>());
    }
    const Detections one = processor_->Process(boxes.narrow(0, b, 1), logits.narrow(0, b, 1));
    EXPECT_TRUE(at::equal(one.boxes[0], all.boxes[b]));
    EXPECT_TRUE(at::equal(one.scores[0], all.scores[b]));
    EXPECT_TRUE(at::equal(one.labels[0], all.labels[b]));
  }
}

TEST_P(PostProcessorContract, OrderOfAnchorsDoesNotMatter) {
  const Tensor boxes = RandomCorners({1, 300}).to(device());
  const Tensor logits = Logits(at::randn({1, 300, kClasses + 1}) * 2).to(device());
  const Detections before = processor_->Process(boxes, logits);
  const Tensor order = at::randperm(300).to(device());
  const Detections after =
      processor_->Process(boxes.index_select(1, order), logits.index_select(1, order));
  EXPECT_TRUE(at::equal(after.counts, before.counts));
  EXPECT_TRUE(at::equal(after.boxes, before.boxes));
  EXPECT_TRUE(at::equal(after.scores, before.scores));
  EXPECT_TRUE(at::equal(after.labels, before.labels));
}

// Logits as a head gives them under autocast: they mean the numbers they stand for.
TEST_P(PostProcessorContract, HalfTypesAreRead) {
  const Tensor boxes = RandomCorners({2, 100}).to(device());
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const Tensor logits = Logits(at::randn({2, 100, kClasses + 1}) * 2).to(device()).to(type);
    const Detections found = processor_->Process(boxes, logits);
    const Detections expected = processor_->Process(boxes, logits.to(at::kFloat));
    EXPECT_EQ(found.boxes.scalar_type(), at::kFloat);
    EXPECT_EQ(found.scores.scalar_type(), at::kFloat);
    EXPECT_GT(found.counts.min().item<int64_t>(), 0);
    EXPECT_TRUE(at::equal(found.counts, expected.counts));
    EXPECT_TRUE(at::equal(found.boxes, expected.boxes));
    EXPECT_TRUE(at::equal(found.scores, expected.scores));
    EXPECT_TRUE(at::equal(found.labels, expected.labels));
  }
}

TEST_P(PostProcessorContract, NoAnchorsAndNoImages) {
  const auto counts = [this](int64_t images, int64_t anchors) {
    const Tensor logits = Logits(at::zeros({images, anchors, kClasses + 1}));
    return processor_->Process(at::zeros({images, anchors, 4}).to(device()), logits.to(device()))
        .counts.cpu();
  };
  EXPECT_TRUE(at::equal(counts(2, 0), at::zeros({2}, at::kLong)));
  EXPECT_EQ(counts(0, 5).size(0), 0);
}

TEST_P(PostProcessorContract, FindsTheOneObject) {
  const Tensor boxes = RandomCorners({1, 50});
  const Tensor logits = at::full({1, 50, kClasses + 1}, -12.0);
  logits.select(2, 0).fill_(0);
  logits[0][17][2] = 8;
  const Detections detections =
      processor_->Process(boxes.to(device()), Logits(logits).to(device()));
  ASSERT_EQ(detections.counts[0].item<int64_t>(), 1);
  EXPECT_EQ(detections.labels[0][0].item<int64_t>(), 2);
  EXPECT_TRUE(at::allclose(detections.boxes[0][0].cpu(), boxes[0][17].clamp(0, 1)));
}

INSTANTIATE_TEST_SUITE_P(
    Registered, PostProcessorContract,
    ::testing::Combine(::testing::ValuesIn(PostProcessorRegistry::Get().Names()), ::testing::Bool(),
                       ::testing::Values(at::kCPU, at::kCUDA)),
    TestNameWithHead);

}  // namespace
}  // namespace ssd
