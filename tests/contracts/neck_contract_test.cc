// What every registered neck keeps, and what the published SSDs' extra layers are.

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ssd/backbones/backbone.h"
#include "ssd/core/text_proto.h"
#include "ssd/layers/window.h"
#include "ssd/model/multibox_head.h"
#include "ssd/necks/neck.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

template <typename Config>
Config Parse(const std::string& text) {
  Config config;
  const absl::Status status = ParseTextProto(text, "test", config);
  EXPECT_TRUE(status.ok()) << status;
  return config;
}

// Maps as a C3-C5 backbone with the given channels yields them.
std::vector<FeatureSpec> BackboneSpecs(ImageSize size, const std::vector<int64_t>& channels) {
  FeatureSpec spec = MoveWindow({7, 2, 3, 1}, ImageSpec(size), channels[0]);
  spec = MoveWindow({3, 2, 1, 1}, spec, channels[0]);
  std::vector<FeatureSpec> specs;
  for (const int64_t c : channels) specs.push_back(spec = MoveWindow({3, 2, 1, 1}, spec, c));
  return specs;
}

absl::StatusOr<std::unique_ptr<Neck>> Create(const std::string& text,
                                             const std::vector<FeatureSpec>& inputs,
                                             int64_t num_levels) {
  return NeckRegistry::Get().Create(Parse<NeckConfig>(text), {inputs, num_levels});
}

std::vector<Tensor> RandomMaps(const std::vector<FeatureSpec>& specs, int64_t batch_size,
                               at::Device device) {
  std::vector<Tensor> maps;
  for (const FeatureSpec& spec : specs) {
    maps.push_back(at::randn({batch_size, spec.channels, spec.height, spec.width}).to(device));
  }
  return maps;
}

std::vector<int64_t> Heights(absl::Span<const FeatureSpec> specs) {
  std::vector<int64_t> heights;
  for (const FeatureSpec& spec : specs) heights.push_back(spec.height);
  return heights;
}

// Variants of everything, and the defaults of every registered component.
std::vector<std::string> Configs() {
  std::vector<std::string> configs = {
      "ssd_extras { channels: 24 channels: 12 }",
      "ssd_extras { channels: 16 mid_channels: 8 mid_channels: 4 norm: BATCH_NORM }",
      "ssd_extras { channels: 256 norm: GROUP_NORM norm_epsilon: 1e-3 }",
      "ssd_extras { channels: 16 norm: BATCH_NORM norm_momentum: 3e-4 activation: RELU6 }",
      "ssd_extras { channels: 16 initial_standard_deviation: 0.3 truncate_initial_weights: true }",
      "ssd_extras { channels: 16 window {} window { stride: 1 padding: 0 } }",
      "ssd_extras { channels: 16 window { kernel: 4 } window { kernel: 2 stride: 1 padding: 0 } }",
      "ssdlite_extras { channels: 16 channels: 8 mid_channels: 6 }",
  };
  const auto* family = NeckConfig::descriptor();
  for (const std::string& name : NeckRegistry::Get().Names()) {
    for (int i = 0; i < family->field_count(); ++i) {
      if (family->field(i)->message_type()->full_name() == name) {
        configs.push_back(family->field(i)->name() + " {}");
      }
    }
  }
  return configs;
}

// A neck's config, and where it runs.
class NeckContractTest : public ::testing::TestWithParam<std::tuple<std::string, at::DeviceType>> {
 protected:
  void SetUp() override {
    if (device().is_cuda() && !at::hasCUDA()) GTEST_SKIP() << "there is no CUDA device";
    at::manual_seed(21);
  }

  const std::string& config() const { return std::get<0>(GetParam()); }
  at::Device device() const { return at::Device(std::get<1>(GetParam())); }
  // Of values beside the largest: CUDA's convolutions may round to ten bits (TF32).
  double tolerance() const { return device().is_cuda() ? 5e-3 : 1e-5; }

  absl::StatusOr<std::unique_ptr<Neck>> CreateOnDevice(const std::vector<FeatureSpec>& inputs,
                                                       int64_t num_levels) const {
    absl::StatusOr<std::unique_ptr<Neck>> neck = Create(config(), inputs, num_levels);
    if (neck.ok()) (*neck)->to(device());
    return neck;
  }

  std::vector<Tensor> ForwardInBfloat16(Neck& neck, const std::vector<Tensor>& maps) const {
    at::autocast::set_autocast_enabled(device().type(), true);
    at::autocast::set_autocast_dtype(device().type(), at::kBFloat16);
    std::vector<Tensor> levels = neck.Forward(maps);
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device().type(), false);
    return levels;
  }
};

TEST_P(NeckContractTest, OutputSpecsAreWhatForwardYields) {
  at::NoGradGuard no_grad;
  const std::vector<int64_t> channels = {8, 16, 32};
  for (const ImageSize size : {ImageSize{300, 300}, {320, 416}, {257, 199}, {512, 640}}) {
    for (int64_t num_levels = 1; num_levels <= 5; ++num_levels) {
      const std::vector<FeatureSpec> inputs = BackboneSpecs(size, channels);
      absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice(inputs, num_levels);
      ASSERT_TRUE(neck.ok()) << neck.status();
      (*neck)->eval();
      // Also for another input than it was made for.
      for (const ImageSize other : {size, ImageSize{size.height + 40, size.width + 65}}) {
        const std::vector<FeatureSpec> given = BackboneSpecs(other, channels);
        const std::vector<FeatureSpec> specs = (*neck)->OutputSpecs(given);
        const std::vector<Tensor> maps = (*neck)->Forward(RandomMaps(given, 2, device()));
        ASSERT_EQ(static_cast<int64_t>(maps.size()), num_levels);
        ASSERT_EQ(maps.size(), specs.size());
        for (size_t i = 0; i < maps.size(); ++i) {
          EXPECT_EQ(maps[i].sizes(),
                    at::IntArrayRef({2, specs[i].channels, specs[i].height, specs[i].width}));
        }
      }
    }
  }
}

// As the backbones' test: the cells of the deepest input that a cell depends on are those where its
// gradient is not zero. The input's own cells stand in for pixels.
TEST_P(NeckContractTest, CentresAndReceptiveFieldsAreWhereTheGradientIs) {
  if (device().is_cuda()) GTEST_SKIP() << "fast convolutions leave rounding where zeros belong";
  if (config().find("GROUP_NORM") != std::string::npos) return;  // sees the whole map
  for (const ImageSize size : {ImageSize{23, 31}, {32, 30}}) {
    FeatureSpec input = ImageSpec(size);
    input.channels = 4;
    absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice({input}, 4);
    ASSERT_TRUE(neck.ok()) << neck.status();
    (*neck)->eval();
    (*neck)->to(at::kDouble);
    for (const Tensor& parameter : (*neck)->parameters()) {
      parameter.detach().abs_();
      if (parameter.dim() == 4) parameter.detach().div_(parameter.detach().sum());
    }
    const Tensor map = at::rand({1, 4, size.height, size.width}, at::kDouble).requires_grad_();
    const std::vector<FeatureSpec> specs = (*neck)->OutputSpecs(std::vector<FeatureSpec>{input});
    const std::vector<Tensor> maps = (*neck)->Forward({map});
    for (size_t i = 1; i < maps.size(); ++i) {
      const FeatureSpec& spec = specs[i];
      const int64_t row = spec.height / 2;
      const int64_t column = spec.width / 2;
      map.mutable_grad() = Tensor();
      maps[i].index({0, 0, row, column}).backward({}, /*retain_graph=*/true);
      const Tensor touched = map.grad()[0].ne(0).any(0);
      const Tensor rows = touched.any(1).nonzero().to(at::kDouble);
      const Tensor columns = touched.any(0).nonzero().to(at::kDouble);
      const double center_y = spec.first_center_y + static_cast<double>(row) * spec.stride_y;
      const double center_x = spec.first_center_x + static_cast<double>(column) * spec.stride_x;
      const double reach = spec.receptive_field / 2;
      EXPECT_EQ(rows.min().item<double>(), std::max(0.0, center_y - reach)) << i;
      EXPECT_EQ(rows.max().item<double>() + 1, std::min<double>(size.height, center_y + reach));
      EXPECT_EQ(columns.min().item<double>(), std::max(0.0, center_x - reach)) << i;
      EXPECT_EQ(columns.max().item<double>() + 1, std::min<double>(size.width, center_x + reach));
    }
  }
}

TEST_P(NeckContractTest, LayoutBatchAndTypeKeepTheirContract) {
  at::NoGradGuard no_grad;
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice(inputs, 6);
  ASSERT_TRUE(neck.ok()) << neck.status();
  (*neck)->eval();
  const std::vector<Tensor> maps = RandomMaps(inputs, 3, device());
  std::vector<Tensor> channels_last;
  std::vector<Tensor> one;
  for (const Tensor& map : maps) {
    channels_last.push_back(map.contiguous(at::MemoryFormat::ChannelsLast));
    one.push_back(map.slice(0, 2, 3));
  }
  const std::vector<Tensor> expected = (*neck)->Forward(maps);
  const std::vector<Tensor> expected_one = (*neck)->Forward(one);
  for (Tensor& parameter : (*neck)->parameters()) {
    if (parameter.dim() != 4) continue;
    parameter.set_data(parameter.variable_data().contiguous(at::MemoryFormat::ChannelsLast));
  }
  const std::vector<Tensor> in_channels_last = (*neck)->Forward(channels_last);
  const std::vector<Tensor> in_bfloat16 = ForwardInBfloat16(**neck, channels_last);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double scale = expected[i].abs().max().item<double>();
    EXPECT_TRUE(in_channels_last[i].allclose(expected[i], 0, tolerance() * scale));
    EXPECT_TRUE(expected_one[i].allclose(expected[i].slice(0, 2, 3), 0, tolerance() * scale));
    EXPECT_TRUE(in_channels_last[i].is_contiguous(at::MemoryFormat::ChannelsLast));
    const Tensor error = (in_bfloat16[i].to(at::kFloat) - expected[i]).norm();
    EXPECT_LE(error.item<double>(), 0.1 * expected[i].norm().item<double>());
  }
}

TEST_P(NeckContractTest, EveryParameterLearns) {
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  // In one of two initialisations: all ReLUs of a narrow layer may be closed in the other.
  std::map<std::string, bool> learns;
  for (int initialisation = 0; initialisation < 2; ++initialisation) {
    absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice(inputs, 6);
    ASSERT_TRUE(neck.ok()) << neck.status();
    Tensor loss = at::zeros({});
    for (const Tensor& map : (*neck)->Forward(RandomMaps(inputs, 2, device()))) {
      loss = loss + (map * at::randn_like(map)).sum();
    }
    // One without parameters of its own would leave nothing to differentiate.
    if (!loss.requires_grad()) return;
    loss.backward();
    for (const auto& parameter : (*neck)->named_parameters()) {
      const Tensor gradient = parameter.value().grad();
      ASSERT_TRUE(gradient.defined()) << parameter.key();
      EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << parameter.key();
      if (gradient.norm().item<double>() > 0) learns[parameter.key()] = true;
      learns.emplace(parameter.key(), false);
    }
  }
  for (const auto& [name, does] : learns) EXPECT_TRUE(does) << name;
}

TEST_P(NeckContractTest, TrainsInBfloat16UnderAutocast) {
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice(inputs, 6);
  ASSERT_TRUE(neck.ok()) << neck.status();
  (*neck)->train();
  Tensor loss = at::zeros({});
  for (const Tensor& map : ForwardInBfloat16(**neck, RandomMaps(inputs, 2, device()))) {
    loss = loss + (map * at::randn_like(map)).to(at::kFloat).sum();
  }
  if (!loss.requires_grad()) return;
  loss.backward();
  double largest = 0;
  for (const auto& parameter : (*neck)->named_parameters()) {
    const Tensor gradient = parameter.value().grad();
    ASSERT_TRUE(gradient.defined()) << parameter.key();
    EXPECT_EQ(gradient.scalar_type(), at::kFloat) << parameter.key();
    EXPECT_TRUE(gradient.isfinite().all().item<bool>()) << parameter.key();
    largest = std::max(largest, gradient.abs().max().item<double>());
  }
  EXPECT_GT(largest, 0);
}

// One image, and maps down to one cell, of which a norm over the batch sees one value a channel.
TEST_P(NeckContractTest, TrainsOnOneImage) {
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  absl::StatusOr<std::unique_ptr<Neck>> neck = CreateOnDevice(inputs, 6);
  ASSERT_TRUE(neck.ok()) << neck.status();
  (*neck)->train();
  Tensor loss = at::zeros({});
  for (const Tensor& map : (*neck)->Forward(RandomMaps(inputs, 1, device()))) {
    EXPECT_TRUE(map.isfinite().all().item<bool>());
    loss = loss + (map * at::randn_like(map)).sum();
  }
  for (const auto& buffer : (*neck)->named_buffers()) {
    EXPECT_TRUE(buffer.value().isfinite().all().item<bool>()) << buffer.key();
  }
  if (!loss.requires_grad()) return;
  loss.backward();
  for (const auto& parameter : (*neck)->named_parameters()) {
    if (!parameter.value().grad().defined()) continue;
    EXPECT_TRUE(parameter.value().grad().isfinite().all().item<bool>()) << parameter.key();
  }
}

INSTANTIATE_TEST_SUITE_P(All, NeckContractTest,
                         ::testing::Combine(::testing::ValuesIn(Configs()),
                                            ::testing::Values(at::kCPU, at::kCUDA)));

TEST(SsdExtrasTest, MakesThePapersMaps) {
  const std::vector<FeatureSpec> ssd300 = BackboneSpecs({300, 300}, {128, 256, 512});
  const std::vector<FeatureSpec> levels =
      (*Create("ssd_extras {}", ssd300, 6))->OutputSpecs(ssd300);
  EXPECT_EQ(Heights(levels), (std::vector<int64_t>{38, 19, 10, 5, 3, 1}));
  EXPECT_EQ(levels[3].channels, 512);
  EXPECT_EQ(levels[4].channels, 256);
  EXPECT_EQ(levels[5].channels, 256);
  EXPECT_EQ(Heights((*Create("ssd_extras {}", ssd300, 2))->OutputSpecs(ssd300)),
            (std::vector<int64_t>{38, 19}));
  // SSD512, arXiv:1512.02325 version 2.
  const std::vector<FeatureSpec> ssd512 = BackboneSpecs({512, 512}, {128, 256, 512});
  EXPECT_EQ(Heights((*Create("ssd_extras {}", ssd512, 7))->OutputSpecs(ssd512)),
            (std::vector<int64_t>{64, 32, 16, 8, 4, 2, 1}));
  // One map, as from a backbone that ends at conv4.
  const std::vector<FeatureSpec> conv4 = {ssd300[0]};
  EXPECT_EQ(Heights((*Create("ssd_extras {}", conv4, 6))->OutputSpecs(conv4)),
            (std::vector<int64_t>{38, 19, 10, 5, 3, 1}));
}

// VGG-16's maps, conv4_3 and fc7, of a square image.
std::vector<FeatureSpec> VggSpecs(int64_t size) {
  auto backbone = BackboneRegistry::Get().Create(Parse<BackboneConfig>("vgg16 { width: 1 }"), {});
  EXPECT_TRUE(backbone.ok()) << backbone.status();
  return (*backbone)->OutputSpecs({size, size});
}

TEST(SsdExtrasTest, WindowsMakeSsd512) {
  const std::vector<FeatureSpec> inputs = VggSpecs(512);
  // Caffe's, whose last convolution is 4x4 with padding 1.
  const std::string caffe =
      "ssd_extras { window {} window {} window {} window {} window { kernel: 4 stride: 1 } }";
  const auto neck = Create(caffe, inputs, 7);
  ASSERT_TRUE(neck.ok()) << neck.status();
  EXPECT_EQ(Heights((*neck)->OutputSpecs(inputs)), (std::vector<int64_t>{64, 32, 16, 8, 4, 2, 1}));
  EXPECT_EQ((*neck)->named_parameters()["4.conv2.weight"].sizes(),
            at::IntArrayRef({256, 128, 4, 4}));
  // torchvision's, which leaves the border out from the third on.
  const std::string torchvision =
      "ssd_extras { window {} window {} window { stride: 1 padding: 0 }"
      " window { stride: 1 padding: 0 } window { kernel: 4 stride: 1 padding: 0 } }";
  EXPECT_EQ(Heights((*Create(torchvision, inputs, 7))->OutputSpecs(inputs)),
            (std::vector<int64_t>{64, 32, 16, 8, 6, 4, 1}));
  // The windows of SSD300, written out, are those that its maps choose.
  const std::vector<FeatureSpec> ssd300 = VggSpecs(300);
  const std::string written = "ssd_extras { window {} window {} window { stride: 1 padding: 0 } }";
  EXPECT_EQ(Heights((*Create(written, ssd300, 6))->OutputSpecs(ssd300)),
            Heights((*Create("ssd_extras {}", ssd300, 6))->OutputSpecs(ssd300)));
}

TEST(SsdliteExtrasTest, MakesTorchvisionsMaps) {
  FeatureSpec c4 = ImageSpec({20, 20});
  c4.channels = 672;
  FeatureSpec c5 = ImageSpec({10, 10});
  c5.channels = 480;
  const std::vector<FeatureSpec> inputs = {c4, c5};
  const std::vector<FeatureSpec> levels =
      (*Create("ssdlite_extras {}", inputs, 6))->OutputSpecs(inputs);
  EXPECT_EQ(Heights(levels), (std::vector<int64_t>{20, 10, 5, 3, 2, 1}));
  std::vector<int64_t> channels;
  for (const FeatureSpec& level : levels) channels.push_back(level.channels);
  EXPECT_EQ(channels, (std::vector<int64_t>{672, 480, 512, 256, 256, 128}));
}

TEST(SsdExtrasTest, GeometryFollowsTheWindows) {
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  const std::vector<FeatureSpec> levels =
      (*Create("ssd_extras {}", inputs, 6))->OutputSpecs(inputs);
  EXPECT_EQ(levels[3].stride_y, 64);
  EXPECT_EQ(levels[3].first_center_y, 0.5);
  // Without padding, the first cell looks at the cell one further in.
  EXPECT_EQ(levels[4].stride_x, 64);
  EXPECT_EQ(levels[4].first_center_x, 64.5);
  EXPECT_EQ(levels[5].first_center_x, 128.5);
  EXPECT_EQ(levels[3].receptive_field, levels[2].receptive_field + 2 * 32);
  EXPECT_EQ(levels[5].receptive_field, levels[3].receptive_field + 4 * 64);
}

// TensorFlow's SSDs on MobileNets: constants of the norms, cut normal weights, ReLU6.
TEST(SsdExtrasTest, LayersAreAsTheOptionsHaveThem) {
  at::NoGradGuard no_grad;
  at::manual_seed(22);
  FeatureSpec input = ImageSpec({8, 8});
  input.channels = 24;
  const auto neck = Create(
      "ssd_extras { channels: 40 mid_channels: 32 norm: BATCH_NORM norm_epsilon: 0.5 "
      "norm_momentum: "
      "0.25 initial_standard_deviation: 0.03 truncate_initial_weights: true activation: RELU6 "
      "window {} }",
      {input}, 2);
  ASSERT_TRUE(neck.ok()) << neck.status();
  auto state = (*neck)->named_parameters();
  auto buffers = (*neck)->named_buffers();
  for (const char* name : {"0.conv1.weight", "0.conv2.weight"}) {
    EXPECT_LE(state[name].abs().max().item<double>(), 0.06 * (1 + 1e-5)) << name;
    EXPECT_GT(state[name].abs().max().item<double>(), 0.05) << name;
  }
  const Tensor map = at::randn({2, 24, 8, 8});
  const auto layer = [](const Tensor& convolved) {
    const Tensor mean = convolved.mean(at::IntArrayRef({0, 2, 3}), /*keepdim=*/true);
    const Tensor variance =
        convolved.var(at::IntArrayRef({0, 2, 3}), /*unbiased=*/false, /*keepdim=*/true);
    return ((convolved - mean) / (variance + 0.5).sqrt() * 40).clamp(0, 6);
  };
  // So that ReLU6 has something to cut.
  state["0.bn1.weight"].fill_(40);
  state["0.bn2.weight"].fill_(40);
  const Tensor convolved = at::conv2d(map, state["0.conv1.weight"]);
  const Tensor expected = layer(at::conv2d(layer(convolved), state["0.conv2.weight"], {},
                                           at::IntArrayRef{2}, at::IntArrayRef{1}));
  (*neck)->train();
  const Tensor output = (*neck)->Forward({map})[1];
  EXPECT_TRUE(output.allclose(expected, 1e-3, 1e-3));
  EXPECT_EQ(output.max().item<double>(), 6);
  EXPECT_TRUE(buffers["0.bn1.running_mean"].allclose(
      0.25 * convolved.mean(at::IntArrayRef({0, 2, 3})), 1e-4, 1e-6));
}

TEST(SsdExtrasTest, WrongOptionsAreNamed) {
  const std::vector<FeatureSpec> inputs = BackboneSpecs({300, 300}, {8, 16, 32});
  EXPECT_EQ(Create("ssd_extras {}", inputs, 7).status().message(),
            "num_levels: 7 is too large for this input: level 6 is 1x1 cells already; use at most "
            "6, or a larger input");
  EXPECT_EQ(Create("ssd_extras { channels: 0 }", inputs, 6).status().message(),
            "neck.ssd_extras.channels: 0 must be in [1, 8192]");
  EXPECT_EQ(Create("ssd_extras { mid_channels: -1 }", inputs, 6).status().message(),
            "neck.ssd_extras.mid_channels: -1 must be in [1, 8192]");
  const std::pair<const char*, const char*> cases[] = {
      {"ssd_extras { window {} window { kernel: 0 } }",
       "neck.ssd_extras.window[1].kernel: 0 must be in [1, 31]"},
      {"ssd_extras { window { kernel: 4097 } }",
       "neck.ssd_extras.window[0].kernel: 4097 must be in [1, 31]"},
      {"ssd_extras { window { stride: 0 } }",
       "neck.ssd_extras.window[0].stride: 0 must be in [1, 64]"},
      {"ssd_extras { norm: BATCH_NORM norm_epsilon: 0 }",
       "neck.ssd_extras.norm_epsilon: 0 must be > 0"},
      {"ssd_extras { norm: BATCH_NORM norm_momentum: 1.5 }",
       "neck.ssd_extras.norm_momentum: 1.5 must be in (0, 1]"},
      {"ssd_extras { norm_epsilon: 0.5 }",
       "neck.ssd_extras.norm_epsilon: 0.5 has no effect without neck.ssd_extras.norm: BATCH_NORM; "
       "set that, or leave this out"},
      {"ssd_extras { channels: 256 norm: GROUP_NORM norm_momentum: 0.5 }",
       "neck.ssd_extras.norm_momentum: 0.5 has no effect without neck.ssd_extras.norm: BATCH_NORM; "
       "set that, or leave this out"},
      {"ssd_extras { initial_standard_deviation: 0 }",
       "neck.ssd_extras.initial_standard_deviation: 0 must be > 0"},
      {"ssd_extras { truncate_initial_weights: true }",
       "neck.ssd_extras.truncate_initial_weights: true has no effect without "
       "neck.ssd_extras.initial_standard_deviation; set that, or leave this out"},
      {"ssd_extras { channels: 32 mid_channels: 64 norm: GROUP_NORM }",
       "neck.ssd_extras.norm: GROUP_NORM leaves nothing of a map of one cell whose 32 channels are "
       "a group each; raise neck.ssd_extras.channels to a multiple of 32 above 32, use fewer "
       "levels, or norm: BATCH_NORM"},
      {"ssd_extras { window { padding: 3 } }",
       "neck.ssd_extras.window[0].padding: 3 must be >= 0 and below kernel"},
      {"ssd_extras { window { padding: -1 } }",
       "neck.ssd_extras.window[0].padding: -1 must be >= 0 and below kernel"},
      {"ssd_extras { window {} window { kernel: 6 padding: 0 } }",
       "neck.ssd_extras.window[1].kernel: 6 does not fit on level 4, which is 5x5 cells with 0 of "
       "padding; use a smaller kernel, fewer levels or a larger input"},
      {"ssdlite_extras { channels: 0 }", "neck.ssdlite_extras.channels: 0 must be in [1, 8192]"},
      {"ssdlite_extras { norm_epsilon: 0 }", "neck.ssdlite_extras.norm_epsilon: 0 must be > 0"},
      {"ssdlite_extras { norm_momentum: 0 }",
       "neck.ssdlite_extras.norm_momentum: 0 must be in (0, 1]"},
      {"ssdlite_extras { initial_standard_deviation: -1 }",
       "neck.ssdlite_extras.initial_standard_deviation: -1 must be > 0"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_EQ(Create(text, inputs, 6).status().message(), message);
  }
  EXPECT_EQ(Create("ssdlite_extras {}", inputs, 8).status().message(),
            "num_levels: 8 is too large for this input: level 7 is 1x1 cells already; use at most "
            "7, or a larger input");
  for (const char* text : {"ssd_extras { channels: 48 norm: GROUP_NORM }",
                           "ssd_extras { channels: 96 norm: GROUP_NORM }"}) {
    EXPECT_EQ(Create(text, inputs, 6).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(SsdExtrasTest, WithResNet50UpToConv4ItIsNvidiasSsd300) {
  const auto& published = golden::File("arch.json")["nvidia_ssd300_resnet50_81"];

  auto backbone = BackboneRegistry::Get().Create(
      Parse<BackboneConfig>("resnet { depth: 50 form: CONV4_STRIDE_1 }"), {});
  ASSERT_TRUE(backbone.ok()) << backbone.status();
  const std::vector<FeatureSpec> features = (*backbone)->OutputSpecs({300, 300});
  auto neck = Create(
      "ssd_extras { channels: [512, 512, 256] mid_channels: [256, 256, 128] norm: BATCH_NORM }",
      features, 6);
  ASSERT_TRUE(neck.ok()) << neck.status();
  const std::vector<FeatureSpec> levels = (*neck)->OutputSpecs(features);
  ASSERT_EQ(levels.size(), published["feature_maps"].Size());
  for (rapidjson::SizeType i = 0; i < published["feature_maps"].Size(); ++i) {
    const auto& map = published["feature_maps"][i];
    EXPECT_EQ(levels[i].channels, map[0].GetInt64());
    EXPECT_EQ(levels[i].height, map[1].GetInt64());
    EXPECT_EQ(levels[i].width, map[2].GetInt64());
  }

  const std::vector<int64_t> anchors_per_cell = {4, 6, 6, 6, 4, 4};
  MultiboxHead head(levels, anchors_per_cell, 80, HeadConfig());
  int64_t parameters = 0;
  const std::vector<const torch::nn::Module*> modules = {backbone->get(), neck->get(), &head};
  for (const torch::nn::Module* module : modules) {
    for (const Tensor& parameter : module->parameters()) parameters += parameter.numel();
  }
  EXPECT_EQ(parameters, published["params"].GetInt64());

  // NVIDIA counts the layers of a block where this program names them.
  const std::map<std::string, std::string> layer_names = {
      {"0", "conv1"}, {"1", "bn1"}, {"3", "conv2"}, {"4", "bn2"}};
  std::map<std::string, Tensor> state;
  for (const auto& p : (*neck)->named_parameters())
    state["additional_blocks." + p.key()] = p.value();
  for (const auto& b : (*neck)->named_buffers()) state["additional_blocks." + b.key()] = b.value();
  for (const auto& p : head.named_parameters()) {
    const size_t dot = p.key().find('.');
    state[(p.key().substr(0, dot) == "box_codes" ? "loc" : "conf") + p.key().substr(dot)] =
        p.value();
  }
  for (const auto& entry : published["state_dict"].GetArray()) {
    std::string name = entry[0].GetString();
    const std::string block = "additional_blocks.";
    if (name.compare(0, block.size(), block) == 0) {
      const size_t layer = name.find('.', block.size()) + 1;
      name.replace(layer, 1, layer_names.at(name.substr(layer, 1)));
    }
    ASSERT_EQ(state.count(name), 1) << name;
    std::vector<int64_t> shape;
    for (const auto& size : entry[1].GetArray()) shape.push_back(size.GetInt64());
    EXPECT_EQ(state[name].sizes().vec(), shape) << name;
  }
}

}  // namespace
}  // namespace ssd
