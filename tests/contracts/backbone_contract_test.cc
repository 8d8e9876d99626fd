// What every registered backbone keeps, and what torchvision says ResNets are.

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "ssd/backbones/backbone.h"
#include "ssd/core/file.h"
#include "ssd/core/text_proto.h"

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

class BackboneContractTest : public ::testing::TestWithParam<std::string> {
 protected:
  BackboneContractTest() {
    at::manual_seed(11);
    backbone_ = MustCreate(GetParam());
  }

  std::unique_ptr<Backbone> backbone_;
};

TEST_P(BackboneContractTest, OutputSpecsAreWhatForwardYields) {
  at::NoGradGuard no_grad;
  backbone_->eval();
  for (const ImageSize size : {ImageSize{64, 64}, {65, 97}, {128, 70}, {300, 33}, {75, 299}}) {
    const std::vector<FeatureSpec> specs = backbone_->OutputSpecs(size);
    const std::vector<Tensor> maps = backbone_->Forward(at::randn({2, 3, size.height, size.width}));
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
  const Tensor images = at::randn({3, 3, 96, 64});
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
    EXPECT_TRUE(channels_last[i].allclose(expected[i], 0, 1e-4 * scale));
    EXPECT_TRUE(one[i].allclose(expected[i].slice(0, 1, 2), 0, 1e-4 * scale));
  }
}

TEST_P(BackboneContractTest, RunsInBfloat16UnderAutocast) {
  at::NoGradGuard no_grad;
  backbone_->eval();
  const Tensor images = at::randn({2, 3, 64, 96}).contiguous(at::MemoryFormat::ChannelsLast);
  const std::vector<Tensor> expected = backbone_->Forward(images);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const std::vector<Tensor> maps = backbone_->Forward(images);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  for (size_t i = 0; i < maps.size(); ++i) {
    EXPECT_EQ(maps[i].scalar_type(), at::kBFloat16);
    const Tensor error = (maps[i].to(at::kFloat) - expected[i]).norm() / expected[i].norm();
    EXPECT_LT(error.item<double>(), 0.1);
  }
}

TEST_P(BackboneContractTest, EveryParameterLearnsAndEvaluationChangesNothing) {
  backbone_->train();
  Tensor loss = at::zeros({});
  for (const Tensor& map : backbone_->Forward(at::randn({2, 3, 64, 64}))) {
    loss = loss + (map * at::randn_like(map)).sum();
  }
  loss.backward();
  for (const auto& parameter : backbone_->named_parameters()) {
    ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
  }

  at::NoGradGuard no_grad;
  backbone_->eval();
  std::map<std::string, Tensor> before;
  for (const auto& buffer : backbone_->named_buffers()) {
    before[buffer.key()] = buffer.value().clone();
  }
  const Tensor images = at::randn({2, 3, 64, 64});
  const std::vector<Tensor> first = backbone_->Forward(images);
  const std::vector<Tensor> second = backbone_->Forward(images);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_TRUE(first[i].equal(second[i]));
  for (const auto& buffer : backbone_->named_buffers()) {
    EXPECT_TRUE(buffer.value().equal(before[buffer.key()])) << buffer.key();
  }
}

INSTANTIATE_TEST_SUITE_P(All, BackboneContractTest, ::testing::ValuesIn(Configs()));

// The pixels that a cell depends on are those where its gradient is not zero. Positive weights keep
// every ReLU open, so that nothing cancels.
TEST(ResNetTest, CentresAndReceptiveFieldsAreWhereTheGradientIs) {
  at::manual_seed(12);
  for (const std::string text :
       {"resnet { depth: 18 width: 2 }", "resnet { depth: 50 width: 1 form: CONV4_STRIDE_1 }"}) {
    const std::unique_ptr<Backbone> backbone = MustCreate(text);
    backbone->eval();
    backbone->to(at::kDouble);
    for (const Tensor& parameter : backbone->parameters()) parameter.detach().abs_();
    const ImageSize size = {481, 497};
    const Tensor images = at::rand({1, 3, size.height, size.width}, at::kDouble).requires_grad_();
    const std::vector<FeatureSpec> specs = backbone->OutputSpecs(size);
    const std::vector<Tensor> maps = backbone->Forward(images);
    for (size_t i = 0; i < maps.size(); ++i) {
      const FeatureSpec& spec = specs[i];
      const int64_t row = spec.height / 2;
      const int64_t column = spec.width / 2;
      images.mutable_grad() = Tensor();
      maps[i].index({0, 0, row, column}).backward({}, /*retain_graph=*/true);
      const Tensor touched = images.grad()[0].ne(0).any(0);
      const double center_y = spec.first_center_y + static_cast<double>(row) * spec.stride_y;
      const double center_x = spec.first_center_x + static_cast<double>(column) * spec.stride_x;
      const double reach = spec.receptive_field / 2;
      const Tensor rows = touched.any(1).nonzero().to(at::kDouble);
      const Tensor columns = touched.any(0).nonzero().to(at::kDouble);
      EXPECT_EQ(rows.min().item<double>(), std::max(0.0, center_y - reach)) << text << i;
      EXPECT_EQ(rows.max().item<double>() + 1, std::min<double>(size.height, center_y + reach));
      EXPECT_EQ(columns.min().item<double>(), std::max(0.0, center_x - reach)) << text << i;
      EXPECT_EQ(columns.max().item<double>() + 1, std::min<double>(size.width, center_x + reach));
    }
  }
}

class ResNetGoldenTest : public ::testing::TestWithParam<int> {
 protected:
  ResNetGoldenTest() {
    const absl::StatusOr<std::string> text = ReadFile("tests/golden/arch.json");
    EXPECT_TRUE(text.ok()) << text.status();
    document_.Parse(text->c_str());
    EXPECT_FALSE(document_.HasParseError());
  }

  const rapidjson::Value& golden() const {
    return document_["resnet"][std::to_string(GetParam()).c_str()];
  }

 private:
  rapidjson::Document document_;
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
  for (const auto& entry : golden()["state_dict"].GetArray()) {
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
  EXPECT_EQ(parameters + classifier, golden()["published_parameters"].GetInt64());
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
  for (const auto& run : golden()["runs"].GetArray()) {
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
      const double size = output["root_mean_square"].GetDouble();
      EXPECT_NEAR(flat.mean().item<double>(), output["mean"].GetDouble(), 1e-5 * size);
      EXPECT_NEAR(flat.square().mean().sqrt().item<double>(), size, 1e-5 * size);
      for (const auto& value : output["values"].GetArray()) {
        EXPECT_NEAR(flat[value[0].GetInt64()].item<double>(), value[1].GetDouble(), 1e-4 * size);
      }
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

TEST(ResNetTest, WrongOptionsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"resnet { depth: 20 }", "backbone.resnet.depth: 20 must be 18, 34, 50 or 101"},
      {"resnet { width: 0 }", "backbone.resnet.width: 0 must be in [1, 4096]"},
      {"resnet { width: -8 }", "backbone.resnet.width: -8 must be in [1, 4096]"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = Create(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(status.message(), message);
  }
  const absl::Status groups = Create("resnet { width: 48 norm: GROUP_NORM }").status();
  EXPECT_EQ(groups.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(groups.message().find("backbone.resnet.width: 48"), absl::string_view::npos) << groups;
  EXPECT_EQ(Create("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ssd
