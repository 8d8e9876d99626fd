// What every registered backbone keeps, and what torchvision says ResNets, MobileNets and VGG-16
// are.

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ssd/backbones/backbone.h"
#include "ssd/core/text_proto.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

BackboneConfig ParseConfig(const std::string& text) {
  BackboneConfig config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

absl::StatusOr<std::unique_ptr<Backbone>> Create(const std::string& text) {
  return BackboneRegistry::Get().Create(ParseConfig(text), {});
}

std::unique_ptr<Backbone> MustCreate(const std::string& text) {
  absl::StatusOr<std::unique_ptr<Backbone>> backbone = Create(text);
  EXPECT_TRUE(backbone.ok()) << text << ": " << backbone.status();
  return *std::move(backbone);
}

// Small variants of everything, and the defaults of every registered component.
std::vector<std::string> Configs() {
  std::vector<std::string> configs = {
      "resnet { depth: 18 width: 8 }",
      "resnet { depth: 18 width: 8 form: CONV4_STRIDE_1 }",
      "resnet { depth: 34 width: 4 norm: FROZEN_BATCH_NORM }",
      "resnet { depth: 50 width: 4 norm: GROUP_NORM zero_init_residual: true }",
      "resnet { depth: 50 width: 4 form: CONV4_STRIDE_1 }",
      "resnet { depth: 101 width: 2 }",
      "resnet { depth: 18 width: 8 frozen_stages: 2 }",
      "vgg16 { width: 4 l2_norm_scale: 0 }",
      "vgg16 { width: 4 norm: BATCH_NORM frozen_stages: 3 }",
      "vgg16 { width: 4 norm: FROZEN_BATCH_NORM }",
      "vgg16 { width: 4 norm: GROUP_NORM }",
      "mobilenet_v2 { width_multiplier: 0.35 norm_epsilon: 1e-3 norm_momentum: 0.03 }",
      "mobilenet_v2 { width_multiplier: 1.4 norm: FROZEN_BATCH_NORM frozen_stages: 0 }",
      "mobilenet_v3_large { width_multiplier: 0.25 initial_standard_deviation: 0.3 }",
      "mobilenet_v3_large { width_multiplier: 0.5 reduced_tail: false frozen_stages: 5 }",
      "tiny { width: 4 frozen_stages: 1 }",
  };
  const auto* family = BackboneConfig::descriptor();
  for (const std::string& name : BackboneRegistry::Get().Names()) {
    for (int i = 0; i < family->field_count(); ++i) {
      if (family->field(i)->message_type()->full_name() == name) {
        configs.push_back(family->field(i)->name() + " {}");
      }
    }
  }
  return configs;
}

// A backbone's config, and where it runs.
class BackboneContractTest
    : public ::testing::TestWithParam<std::tuple<std::string, at::DeviceType>> {
 protected:
  void SetUp() override {
    if (device().is_cuda() && !at::hasCUDA()) GTEST_SKIP() << "there is no CUDA device";
    at::manual_seed(11);
    backbone_ = MustCreate(config());
    backbone_->to(device());
  }

  const std::string& config() const { return std::get<0>(GetParam()); }
  at::Device device() const { return at::Device(std::get<1>(GetParam())); }
  // Of values beside the largest: CUDA's convolutions may round to ten bits (TF32).
  double tolerance() const { return device().is_cuda() ? 1e-2 : 1e-4; }
  Tensor RandomImages(int64_t batch, int64_t height, int64_t width) const {
    return at::randn({batch, 3, height, width}).to(device());
  }
  std::vector<Tensor> ForwardInBfloat16(const Tensor& images) {
    at::autocast::set_autocast_enabled(device().type(), true);
    at::autocast::set_autocast_dtype(device().type(), at::kBFloat16);
    std::vector<Tensor> maps = backbone_->Forward(images);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device().type(), false);
    return maps;
  }

  std::unique_ptr<Backbone> backbone_;
};

TEST_P(BackboneContractTest, OutputSpecsAreWhatForwardYields) {
  at::NoGradGuard no_grad;
  backbone_->eval();
  for (const ImageSize size : {ImageSize{64, 64}, {65, 97}, {128, 70}, {300, 33}, {75, 299}}) {
    const std::vector<FeatureSpec> specs = backbone_->OutputSpecs(size);
    const std::vector<Tensor> maps = backbone_->Forward(RandomImages(2, size.height, size.width));
    ASSERT_EQ(maps.size(), specs.size());
    for (size_t i = 0; i < maps.size(); ++i) {
      EXPECT_EQ(maps[i].sizes(),
                at::IntArrayRef({2, specs[i].channels, specs[i].height, specs[i].width}));
      EXPECT_TRUE(maps[i].isfinite().all().item<bool>());
      EXPECT_LE(specs[i].height, specs[i > 0 ? i - 1 : 0].height) << "fine to coarse";
    }
  }
}

TEST_P(BackboneContractTest, LayoutAndBatchChangeNoValue) {
  at::NoGradGuard no_grad;
  backbone_->eval();
  const Tensor images = RandomImages(3, 96, 64);
  const std::vector<Tensor> expected = backbone_->Forward(images);
  const std::vector<Tensor> one = backbone_->Forward(images.slice(0, 1, 2));
  for (Tensor& parameter : backbone_->parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.variable_data().contiguous(at::MemoryFormat::ChannelsLast));
  }
  const std::vector<Tensor> channels_last =
      backbone_->Forward(images.contiguous(at::MemoryFormat::ChannelsLast));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double scale = expected[i].abs().max().item<double>();
    EXPECT_TRUE(channels_last[i].is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(channels_last[i].allclose(expected[i], 0, tolerance() * scale));
    EXPECT_TRUE(one[i].allclose(expected[i].slice(0, 1, 2), 0, tolerance() * scale));
  }
}

TEST_P(BackboneContractTest, RunsInBfloat16UnderAutocast) {
  at::NoGradGuard no_grad;
  backbone_->eval();
  const Tensor images = RandomImages(2, 64, 96).contiguous(at::MemoryFormat::ChannelsLast);
  const std::vector<Tensor> expected = backbone_->Forward(images);
  const std::vector<Tensor> maps = ForwardInBfloat16(images);
  for (size_t i = 0; i < maps.size(); ++i) {
    EXPECT_EQ(maps[i].scalar_type(), at::kBFloat16);
    const Tensor error = (maps[i].to(at::kFloat) - expected[i]).norm() / expected[i].norm();
    EXPECT_LT(error.item<double>(), 0.1);
  }
}

TEST_P(BackboneContractTest, TrainsInBfloat16UnderAutocast) {
  backbone_->train();
  Tensor loss = at::zeros({});
  for (const Tensor& map : ForwardInBfloat16(RandomImages(1, 64, 64))) {
    loss = loss + (map * at::randn_like(map)).to(at::kFloat).sum();
  }
  loss.backward();
  double largest = 0;
  for (const auto& parameter : backbone_->named_parameters()) {
    if (!parameter.value().requires_grad()) continue;
    const Tensor gradient = parameter.value().grad();
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    EXPECT_EQ(gradient.scalar_type(), at::kFloat) << parameter.key();
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << parameter.key();
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  EXPECT_GT(largest, 0);
}

// Whether a fresh network's parameter has no gradient by construction: with zero_init_residual a
// residual branch ends in a scale of zero, which passes nothing back to the layers before it.
bool StartsWithoutGradient(const std::string& config, const std::string& name) {
  const auto has = [&name](const char* part) { return name.find(part) != std::string::npos; };
  return config.find("zero_init_residual: true") != std::string::npos && has("layer") &&
         !has(".bn3.") && !has(".downsample.");
}

TEST_P(BackboneContractTest, EveryParameterLearnsAndEvaluationChangesNothing) {
  // In one of two initialisations: all ReLUs of a narrow layer may be closed in the other. (A bias
  // before a norm of the batch learns what rounding leaves.)
  std::set<std::string> learned;
  for (const uint64_t seed : {11, 12}) {
    at::manual_seed(seed);
    backbone_ = MustCreate(config());
    backbone_->to(device());
    backbone_->train();
    Tensor loss = at::zeros({});
    for (const Tensor& map : backbone_->Forward(RandomImages(2, 64, 64))) {
      loss = loss + (map * at::randn_like(map)).sum();
    }
    loss.backward();
    for (const auto& parameter : backbone_->named_parameters()) {
      if (!parameter.value().requires_grad()) continue;
      const Tensor gradient = parameter.value().grad();
      ASSERT_TRUE(gradient.defined()) << parameter.key();
      EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << parameter.key();
      if (gradient.norm().item<double>() > 0) learned.insert(parameter.key());
    }
  }
  for (const auto& parameter : backbone_->named_parameters()) {
    if (!parameter.value().requires_grad()) continue;
    EXPECT_NE(learned.count(parameter.key()) > 0, StartsWithoutGradient(config(), parameter.key()))
        << parameter.key();
  }

  at::NoGradGuard no_grad;
  backbone_->eval();
  std::map<std::string, Tensor> before;
  for (const auto& buffer : backbone_->named_buffers()) {
    before[buffer.key()] = buffer.value().clone();
  }
  const Tensor images = RandomImages(2, 64, 64);
  const std::vector<Tensor> first = backbone_->Forward(images);
  const std::vector<Tensor> second = backbone_->Forward(images);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i]));
  for (const auto& buffer : backbone_->named_buffers()) {
    EXPECT_TRUE(buffer.value().equal(before[buffer.key()])) << buffer.key();
  }
}

// One image, and maps down to one cell, of which a norm over the batch sees one value a channel.
TEST_P(BackboneContractTest, TrainsOnOneImage) {
  backbone_->train();
  for (const int64_t size : {64, 32}) {
    backbone_->zero_grad();
    Tensor loss = at::zeros({});
    for (const Tensor& map : backbone_->Forward(RandomImages(1, size, size))) {
      EXPECT_TRUE(map.isfinite().all().item<bool>());
      loss = loss + (map * at::randn_like(map)).sum();
    }
    for (const auto& buffer : backbone_->named_buffers()) {
      EXPECT_TRUE(buffer.value().isfinite().all().item<bool>()) << buffer.key();
    }
    loss.backward();
    for (const auto& parameter : backbone_->named_parameters()) {
      if (!parameter.value().grad().defined()) continue;
      EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
    }
  }
}

// Makes every weight positive, the sums of a convolution's 1 and biases 0: with small images that
// are not negative, every ReLU stays open and no ReLU6 fills, so that nothing cancels, and black
// images make black maps.
void KeepActivationsOpen(const Backbone& backbone) {
  at::NoGradGuard no_grad;
  for (const auto& parameter : backbone.named_parameters()) {
    const Tensor value = parameter.value();
    value.abs_();
    if (value.dim() == 4) value.div_(value.sum(at::IntArrayRef({1, 2, 3}), /*keepdim=*/true));
    if (parameter.key().find("bias") != std::string::npos) value.zero_();
    // Squeeze-and-excitation depends on the whole image, which is not counted.
    if (parameter.key().find("fc2.weight") != std::string::npos) value.zero_();
  }
}

// The pixels that a cell depends on, those where its gradient is not zero, lie in the receptive
// field that the backbone states, around the centre that it states.
TEST_P(BackboneContractTest, CellsDependOnTheirReceptiveFields) {
  if (device().is_cuda()) GTEST_SKIP() << "fast convolutions leave rounding where zeros belong";
  if (config().find("GROUP_NORM") != std::string::npos) return;  // sees the whole image
  backbone_->eval();
  KeepActivationsOpen(*backbone_);
  for (const Tensor& parameter : backbone_->parameters()) parameter.set_requires_grad(false);
  const ImageSize size = {96, 129};
  const Tensor images = (at::rand({1, 3, size.height, size.width}) * 1e-3).requires_grad_();
  const std::vector<FeatureSpec> specs = backbone_->OutputSpecs(size);
  const std::vector<Tensor> maps = backbone_->Forward(images);
  for (size_t i = 0; i < maps.size(); ++i) {
    const FeatureSpec& spec = specs[i];
    for (const auto& [row, column] : {std::make_pair(int64_t{0}, int64_t{0}),
                                      std::make_pair(spec.height - 1, spec.width - 1)}) {
      images.mutable_grad() = Tensor();
      maps[i].select(2, row).select(2, column).sum().backward({}, /*retain_graph=*/true);
      const Tensor touched = images.grad().ne(0).any(0).any(0);
      const Tensor rows = touched.any(1).nonzero().to(at::kDouble);
      const Tensor columns = touched.any(0).nonzero().to(at::kDouble);
      ASSERT_GT(rows.numel(), 0) << i;
      const double center_y = spec.first_center_y + static_cast<double>(row) * spec.stride_y;
      const double center_x = spec.first_center_x + static_cast<double>(column) * spec.stride_x;
      const double reach = spec.receptive_field / 2;
      EXPECT_GE(rows.min().item<double>(), center_y - reach) << i;
      EXPECT_LE(rows.max().item<double>() + 1, center_y + reach) << i;
      EXPECT_GE(columns.min().item<double>(), center_x - reach) << i;
      EXPECT_LE(columns.max().item<double>() + 1, center_x + reach) << i;
    }
  }
}

// All of the stated field, and not just part of it: a white line at its edge lights up the cell,
// the next line outside does not.
TEST_P(BackboneContractTest, ReceptiveFieldsAreAsLargeAsStated) {
  if (device().is_cuda()) GTEST_SKIP() << "fast convolutions leave rounding where zeros belong";
  if (config().find("GROUP_NORM") != std::string::npos) return;  // sees the whole image
  at::NoGradGuard no_grad;
  backbone_->eval();
  KeepActivationsOpen(*backbone_);
  const std::vector<FeatureSpec> stated = backbone_->OutputSpecs({64, 64});
  for (size_t i = 0; i < stated.size(); ++i) {
    for (const bool is_row : {true, false}) {
      // Long enough for the whole field of the cell in the middle, and narrow.
      const double stride = is_row ? stated[i].stride_y : stated[i].stride_x;
      const int64_t length = std::llround(stated[i].receptive_field + 4 * stride);
      const ImageSize size = is_row ? ImageSize{length, 33} : ImageSize{33, length};
      const FeatureSpec spec = backbone_->OutputSpecs(size)[i];
      const int64_t row = spec.height / 2;
      const int64_t column = spec.width / 2;
      const double center = is_row
                                ? spec.first_center_y + static_cast<double>(row) * spec.stride_y
                                : spec.first_center_x + static_cast<double>(column) * spec.stride_x;
      const double first = center - spec.receptive_field / 2;
      ASSERT_EQ(first, std::floor(first)) << "the field begins within a pixel, map " << i;
      const int64_t begin = static_cast<int64_t>(first);
      const int64_t end = begin + static_cast<int64_t>(spec.receptive_field);
      ASSERT_GT(begin, 0) << i;
      ASSERT_LT(end, length) << i;
      const Tensor images = at::zeros({4, 3, size.height, size.width});
      const int64_t lines[] = {begin - 1, begin, end - 1, end};
      for (int64_t n = 0; n < 4; ++n) images[n].select(is_row ? 1 : 2, lines[n]).fill_(1);
      const Tensor cells = backbone_->Forward(images)[i].select(2, row).select(2, column);
      const Tensor is_lit = cells.ne(0).any(1);
      for (int64_t n = 0; n < 4; ++n) {
        EXPECT_EQ(is_lit[n].item<bool>(), n == 1 || n == 2)
            << (is_row ? "row " : "column ") << lines[n] << " of [" << begin << ", " << end
            << "), map " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, BackboneContractTest,
                         ::testing::Combine(::testing::ValuesIn(Configs()),
                                            ::testing::Values(at::kCPU, at::kCUDA)));

class ResNetGoldenTest : public ::testing::TestWithParam<int> {
 protected:
  // torchvision's figures for the depth.
  const rapidjson::Value& published() const {
    return golden::File("arch.json")["resnet"][std::to_string(GetParam()).c_str()];
  }
};

// Parameters and buffers by name, in the order of names.
std::map<std::string, Tensor> StateOf(const Backbone& backbone) {
  std::map<std::string, Tensor> state;
  for (const auto& parameter : backbone.named_parameters()) {
    state[parameter.key()] = parameter.value();
  }
  for (const auto& buffer : backbone.named_buffers()) state[buffer.key()] = buffer.value();
  return state;
}

TEST_P(ResNetGoldenTest, HasTorchvisionsNamesShapesAndParameters) {
  const std::unique_ptr<Backbone> backbone =
      MustCreate("resnet { depth: " + std::to_string(GetParam()) + " }");
  std::map<std::string, std::vector<int64_t>> expected;
  for (const auto& entry : published()["state_dict"].GetArray()) {
    std::vector<int64_t>& shape = expected[entry[0].GetString()];
    for (const auto& size : entry[1].GetArray()) shape.push_back(size.GetInt64());
  }
  std::map<std::string, std::vector<int64_t>> actual;
  for (const auto& [name, tensor] : StateOf(*backbone)) actual[name] = tensor.sizes().vec();
  EXPECT_EQ(actual, expected);

  int64_t parameters = 0;
  for (const Tensor& parameter : backbone->parameters()) parameters += parameter.numel();
  const int64_t features = GetParam() < 50 ? 512 : 2048;
  const int64_t classifier = features * 1000 + 1000;
  EXPECT_EQ(parameters + classifier, published()["published_parameters"].GetInt64());
}

INSTANTIATE_TEST_SUITE_P(Depths, ResNetGoldenTest, ::testing::Values(18, 34, 50, 101));

// Numbers that are easily made again elsewhere.
Tensor Wave(at::IntArrayRef shape, double phase) {
  Tensor wave = at::empty(shape);
  float* const values = wave.mutable_data_ptr<float>();
  for (int64_t i = 0; i < wave.numel(); ++i) {
    values[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i) + phase));
  }
  return wave;
}

// Fills the n-th tensor, by name, with waves of phase n of the size such weights have.
void FillWithWaves(const Backbone& backbone) {
  at::NoGradGuard no_grad;
  int phase = 0;
  for (auto& [name, tensor] : StateOf(backbone)) {
    const auto ends_with = [&name = name](const std::string& end) {
      return name.size() >= end.size() &&
             name.compare(name.size() - end.size(), end.size(), end) == 0;
    };
    if (ends_with("num_batches_tracked")) continue;
    Tensor wave = Wave(tensor.sizes(), phase++);
    if (tensor.dim() == 4) {
      wave *=
          std::sqrt(2.0 / static_cast<double>(tensor.size(0) * tensor.size(2) * tensor.size(3)));
    } else {
      wave *= 0.1;
      if (ends_with("running_var") || ends_with("weight")) wave += 1;
    }
    tensor.copy_(wave);
  }
}

// Basic blocks and bottlenecks; the other depths only repeat them.
class ResNetOutputTest : public ResNetGoldenTest {};

INSTANTIATE_TEST_SUITE_P(Depths, ResNetOutputTest, ::testing::Values(18, 50));

TEST_P(ResNetOutputTest, ComputesWhatTorchvisionComputes) {
  at::NoGradGuard no_grad;
  for (const auto& run : published()["runs"].GetArray()) {
    const std::unique_ptr<Backbone> backbone =
        MustCreate("resnet { depth: " + std::to_string(GetParam()) +
                   " form: " + run["form"].GetString() + " }");
    backbone->eval();
    FillWithWaves(*backbone);
    const std::vector<Tensor> maps =
        backbone->Forward(Wave({1, 3, run["height"].GetInt64(), run["width"].GetInt64()}, 0.5));
    const auto& outputs = run["outputs"].GetArray();
    ASSERT_EQ(maps.size(), outputs.Size());
    for (size_t i = 0; i < maps.size(); ++i) {
      const auto& output = outputs[static_cast<rapidjson::SizeType>(i)];
      for (int64_t d = 0; d < 4; ++d) {
        EXPECT_EQ(maps[i].size(d), output["shape"][static_cast<rapidjson::SizeType>(d)].GetInt64());
      }
      const Tensor flat = maps[i].contiguous().flatten().to(at::kDouble);
      // Everything in shares of the map's size: what a ReLU cut has no relative deviation.
      const double size = output["root_mean_square"].GetDouble();
      const std::string what = "arch/resnet" + std::to_string(GetParam()) + "/" +
                               run["form"].GetString() + "/map " + std::to_string(i);
      golden::ExpectNear(at::stack({flat.mean(), flat.square().mean().sqrt()}) / size,
                         at::tensor({output["mean"].GetDouble(), size}) / size,
                         what + ": mean, size", /*relative=*/0, /*absolute=*/1e-5);
      std::vector<double> actual, expected;
      for (const auto& value : output["values"].GetArray()) {
        actual.push_back(flat[value[0].GetInt64()].item<double>() / size);
        expected.push_back(value[1].GetDouble() / size);
      }
      golden::ExpectNear(at::tensor(actual), at::tensor(expected), what, /*relative=*/0,
                         /*absolute=*/1e-4);
    }
  }
}

TEST(ResNetTest, ZeroInitResidualMakesBlocksBeginAsTheirShortcut) {
  at::NoGradGuard no_grad;
  const std::unique_ptr<Backbone> backbone =
      MustCreate("resnet { depth: 50 width: 4 zero_init_residual: true }");
  const auto parameters = backbone->named_parameters();
  EXPECT_EQ(parameters["layer1.0.bn3.weight"].abs().max().item<double>(), 0);
  EXPECT_EQ(parameters["layer1.0.bn2.weight"].min().item<double>(), 1);
  EXPECT_TRUE(parameters["layer1.0.bn3.weight"].requires_grad());
}

TEST(ResNetTest, FrozenBatchNormLeavesOnlyConvolutionsToTrain) {
  const std::unique_ptr<Backbone> backbone =
      MustCreate("resnet { depth: 18 width: 4 norm: FROZEN_BATCH_NORM }");
  for (const Tensor& parameter : backbone->parameters()) EXPECT_EQ(parameter.dim(), 4);
  std::map<std::string, Tensor> before;
  for (const auto& buffer : backbone->named_buffers()) {
    before[buffer.key()] = buffer.value().clone();
  }
  backbone->train();
  backbone->Forward(at::randn({2, 3, 64, 64})).back().sum().backward();
  for (const auto& buffer : backbone->named_buffers()) {
    EXPECT_TRUE(buffer.value().equal(before[buffer.key()])) << buffer.key();
  }
}

// The layers of frozen stages stay as they are; all others learn.
TEST(BackboneTest, FrozenStagesDoNotLearn) {
  struct Case {
    const char* text;
    std::vector<std::string> frozen;  // beginnings of names
  };
  const Case cases[] = {
      {"resnet { depth: 18 width: 4 frozen_stages: 0 }", {"conv1.", "bn1."}},
      {"resnet { depth: 18 width: 4 frozen_stages: 2 }", {"conv1.", "bn1.", "layer1.", "layer2."}},
      {"resnet { depth: 18 width: 4 form: CONV4_STRIDE_1 frozen_stages: 3 }", {""}},
      {"vgg16 { width: 4 frozen_stages: 0 }", {}},
      {"vgg16 { width: 4 frozen_stages: 2 }",
       {"features.0.", "features.2.", "features.5.", "features.7."}},
      {"vgg16 { width: 4 norm: BATCH_NORM frozen_stages: 1 }",
       {"features.0.", "features.1.", "features.3.", "features.4."}},
      {"mobilenet_v2 { width_multiplier: 0.1 frozen_stages: 2 }",
       {"features.0.", "features.1.", "features.2.", "features.3."}},
      {"mobilenet_v3_large { width_multiplier: 0.1 frozen_stages: 2 }",
       {"features.0.", "features.1.", "features.2.", "features.3."}},
      {"mobilenet_v3_large { width_multiplier: 0.1 frozen_stages: 0 }", {"features.0."}},
      {"tiny { frozen_stages: 1 }", {"conv1.", "conv2."}},
  };
  for (const Case& c : cases) {
    at::manual_seed(13);
    const std::unique_ptr<Backbone> backbone = MustCreate(c.text);
    const auto is_frozen = [&c](const std::string& name) {
      for (const std::string& beginning : c.frozen) {
        if (name.compare(0, beginning.size(), beginning) == 0) return true;
      }
      return false;
    };
    for (const auto& parameter : backbone->named_parameters()) {
      EXPECT_NE(parameter.value().requires_grad(), is_frozen(parameter.key()))
          << c.text << " " << parameter.key();
    }
    backbone->train();
    backbone->Forward(at::randn({2, 3, 64, 64}));
    for (const auto& buffer : backbone->named_buffers()) {
      const std::string& name = buffer.key();
      if (name.find("num_batches_tracked") == std::string::npos) continue;
      EXPECT_EQ(buffer.value().item<int64_t>(), is_frozen(name) ? 0 : 1) << c.text << " " << name;
    }
  }
}

// Parameters without the classifiers, which the sums published with torchvision's weights include.
TEST(BackboneTest, HasThePublishedNumberOfParameters) {
  const std::pair<const char*, int64_t> cases[] = {
      {"mobilenet_v2 {}", 3504872 - 1281 * 1000},
      {"mobilenet_v3_large { reduced_tail: false }", 5483032 - (961 * 1280 + 1281 * 1000)},
  };
  for (const auto& [text, expected] : cases) {
    int64_t parameters = 0;
    const std::unique_ptr<Backbone> backbone = MustCreate(text);
    for (const Tensor& parameter : backbone->parameters()) parameters += parameter.numel();
    EXPECT_EQ(parameters, expected) << text;
  }
}

TEST(MobileNetTest, FeaturesAreThoseOfSsdlite) {
  const auto channels = [](const std::string& text) {
    std::vector<int64_t> sizes;
    for (const FeatureSpec& spec : MustCreate(text)->OutputSpecs({320, 320})) {
      sizes.push_back(spec.channels);
      sizes.push_back(spec.height);
      sizes.push_back(static_cast<int64_t>(spec.stride_x));
    }
    return sizes;
  };
  EXPECT_EQ(channels("mobilenet_v2 {}"), (std::vector<int64_t>{576, 20, 16, 1280, 10, 32}));
  EXPECT_EQ(channels("mobilenet_v2 { width_multiplier: 0.5 }"),
            (std::vector<int64_t>{288, 20, 16, 1280, 10, 32}));
  EXPECT_EQ(channels("mobilenet_v2 { width_multiplier: 1.4 }"),
            (std::vector<int64_t>{816, 20, 16, 1792, 10, 32}));
  EXPECT_EQ(channels("mobilenet_v3_large {}"), (std::vector<int64_t>{672, 20, 16, 480, 10, 32}));
  EXPECT_EQ(channels("mobilenet_v3_large { reduced_tail: false }"),
            (std::vector<int64_t>{672, 20, 16, 960, 10, 32}));
}

// What SSD's figure 2 makes of VGG-16, written out.
TEST(Vgg16Test, IsTheFunctionOfItsState) {
  at::NoGradGuard no_grad;
  at::manual_seed(14);
  const std::unique_ptr<Backbone> backbone = MustCreate("vgg16 { width: 2 }");
  backbone->eval();
  const auto state = backbone->named_parameters();
  const auto layer = [&state](const Tensor& map, int index, int64_t padding, int64_t dilation) {
    const std::string name = "features." + std::to_string(index);
    return at::conv2d(map, state[name + ".weight"], state[name + ".bias"], at::IntArrayRef{1},
                      at::IntArrayRef{padding}, at::IntArrayRef{dilation})
        .relu();
  };
  const Tensor images = at::randn({2, 3, 148, 99});
  Tensor map = images;
  Tensor conv4_3;
  for (const std::vector<int>& stage :
       std::vector<std::vector<int>>{{0, 2}, {5, 7}, {10, 12, 14}, {17, 19, 21}, {24, 26, 28}}) {
    for (const int index : stage) map = layer(map, index, 1, 1);
    if (stage[0] == 17) conv4_3 = map;
    const bool is_pool3 = stage[0] == 10;
    map = stage[0] == 24 ? at::max_pool2d(map, 3, 1, 1)
                         : at::max_pool2d(map, 2, 2, at::IntArrayRef{0}, 1, is_pool3);
  }
  const Tensor fc7 = layer(layer(map, 31, 6, 6), 33, 0, 1);
  const Tensor length = conv4_3.square().sum(1, true).sqrt();
  const std::vector<Tensor> maps = backbone->Forward(images);
  EXPECT_TRUE(maps[0].allclose(20 * conv4_3 / length.clamp_min(1e-5), 1e-4, 1e-4));
  EXPECT_TRUE(maps[1].allclose(fc7, 1e-4, 1e-6));
  // 148 -> 74 -> 37 cells, of which pool3 makes 19, and pool4 9.
  EXPECT_EQ(maps[0].sizes(), at::IntArrayRef({2, 16, 19, 12}));
  EXPECT_EQ(maps[1].sizes(), at::IntArrayRef({2, 32, 9, 6}));
}

TEST(Vgg16Test, MapsAreThePapers) {
  const auto heights = [](ImageSize size) {
    std::vector<int64_t> result;
    for (const FeatureSpec& spec : MustCreate("vgg16 { width: 1 }")->OutputSpecs(size)) {
      result.push_back(spec.height);
    }
    return result;
  };
  EXPECT_EQ(heights({300, 300}), (std::vector<int64_t>{38, 19}));
  EXPECT_EQ(heights({512, 512}), (std::vector<int64_t>{64, 32}));
}

TEST(BackboneTest, WrongOptionsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"resnet { depth: 20 }", "backbone.resnet.depth: 20 must be 18, 34, 50 or 101"},
      {"resnet { width: 0 }", "backbone.resnet.width: 0 must be in [1, 512]"},
      {"resnet { width: -8 }", "backbone.resnet.width: -8 must be in [1, 512]"},
      {"resnet { frozen_stages: 5 }",
       "backbone.resnet.frozen_stages: 5 must be in [0, 4]; leave it out to train all"},
      {"resnet { form: CONV4_STRIDE_1 frozen_stages: 4 }",
       "backbone.resnet.frozen_stages: 4 must be in [0, 3]; leave it out to train all"},
      {"vgg16 { width: 0 }", "backbone.vgg16.width: 0 must be in [1, 512]"},
      {"vgg16 { l2_norm_scale: -1 }", "backbone.vgg16.l2_norm_scale: -1 must be >= 0"},
      {"vgg16 { frozen_stages: 6 }",
       "backbone.vgg16.frozen_stages: 6 must be in [0, 5]; leave it out to train all"},
      {"vgg16 { width: 48 norm: GROUP_NORM }",
       "backbone.vgg16.width: 48 does not go with norm: GROUP_NORM, because 48 channels are no "
       "multiple of 32; use a power of two or a multiple of 32"},
      {"mobilenet_v2 { width_multiplier: 0 }",
       "backbone.mobilenet_v2.width_multiplier: 0 must be in (0, 8]"},
      {"mobilenet_v2 { norm_epsilon: 0 }", "backbone.mobilenet_v2.norm_epsilon: 0 must be > 0"},
      {"mobilenet_v2 { norm_momentum: 1.5 }",
       "backbone.mobilenet_v2.norm_momentum: 1.5 must be in (0, 1]"},
      {"mobilenet_v2 { frozen_stages: 8 }",
       "backbone.mobilenet_v2.frozen_stages: 8 must be in [0, 7]; leave it out to train all"},
      {"mobilenet_v2 { norm: FROZEN_BATCH_NORM norm_momentum: 0.03 }",
       "backbone.mobilenet_v2.norm_momentum: 0.03 has no effect without "
       "backbone.mobilenet_v2.norm: BATCH_NORM; set that, or leave this out"},
      {"resnet { width: 4096 }", "backbone.resnet.width: 4096 must be in [1, 512]"},
      {"resnet { norm: FROZEN_BATCH_NORM zero_init_residual: true }",
       "backbone.resnet.zero_init_residual: true does not go with backbone.resnet.norm: "
       "FROZEN_BATCH_NORM, which would keep every residual branch at zero; leave one of them out"},
      {"mobilenet_v3_large { width_multiplier: 9 }",
       "backbone.mobilenet_v3_large.width_multiplier: 9 must be in (0, 8]"},
      {"mobilenet_v3_large { initial_standard_deviation: 0 }",
       "backbone.mobilenet_v3_large.initial_standard_deviation: 0 must be > 0"},
      {"mobilenet_v3_large { frozen_stages: -1 }",
       "backbone.mobilenet_v3_large.frozen_stages: -1 must be in [0, 5]; leave it out to train "
       "all"},
      {"tiny { width: 0 }", "backbone.tiny.width: 0 must be in [1, 512]"},
      {"tiny { frozen_stages: 4 }",
       "backbone.tiny.frozen_stages: 4 must be in [0, 3]; leave it out to train all"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = Create(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(status.message(), message);
  }
  // Maps of one cell, if the input is known.
  const auto with_input = [](const char* text, ImageSize input) {
    const auto backbone = BackboneRegistry::Get().Create(ParseConfig(text), {input});
    return std::string(backbone.status().message());
  };
  EXPECT_EQ(with_input("vgg16 { width: 4 norm: GROUP_NORM }", {16, 16}),
            "backbone.vgg16.norm: GROUP_NORM leaves nothing of a map of one cell whose 32 channels "
            "are a group each, and an input of 16x16 makes one; use a larger input, a larger "
            "backbone.vgg16.width, or norm: BATCH_NORM");
  EXPECT_EQ(with_input("resnet { width: 4 norm: GROUP_NORM }", {32, 32})
                .find("backbone.resnet.norm: GROUP_NORM leaves nothing of a map of one cell"),
            0u);
  for (const char* text : {"vgg16 { width: 8 norm: GROUP_NORM }",
                           "resnet { width: 8 norm: GROUP_NORM }", "vgg16 { width: 4 }"}) {
    EXPECT_EQ(with_input(text, {32, 32}), "") << text;
  }
  EXPECT_EQ(with_input("vgg16 { width: 4 norm: GROUP_NORM }", {32, 16}), "");
  const absl::Status groups = Create("resnet { width: 48 norm: GROUP_NORM }").status();
  EXPECT_EQ(groups.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(groups.message().find("backbone.resnet.width: 48"), absl::string_view::npos) << groups;
  EXPECT_EQ(Create("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ssd
