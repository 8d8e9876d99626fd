// The overrides that presets' comments print work: they load, and files that are named and laid out
// as the published ones give the network their weights.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "experiments/load_experiment.h"
#include "ssd/core/annotations.h"
#include "ssd/core/file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/tensor_files/named_tensors.h"
#include "ssd/weights/caffe.pb.h"
#include "ssd/weights/load_weights.h"
#include "ssd/weights/torch_file_writer.h"
#include "tests/configs/narrow.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Command {
  std::string preset;
  std::vector<std::string> overrides;
};

void PrintTo(const Command& command, std::ostream* out) {
  *out << command.preset << " " << absl::StrJoin(command.overrides, " ");
}

// Comments' lines of three spaces and a field of the model, and those that a backslash adds.
std::vector<Command> Commands() {
  std::vector<Command> commands;
  for (const char* const folder : {"experiments/coco", "experiments/voc"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string text = *ReadFile(entry.path().string());
      bool goes_on = false;
      for (absl::string_view line : absl::StrSplit(text, '\n')) {
        const bool is_indented = absl::ConsumePrefix(&line, "#   ");
        if (!is_indented || (!goes_on && !absl::StartsWith(line, "model."))) {
          goes_on = false;
          continue;
        }
        if (!goes_on) commands.push_back({entry.path().string(), {}});
        goes_on = absl::ConsumeSuffix(&line, "\\");
        for (absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
          word = absl::StripSuffix(absl::StripPrefix(word, "'"), "'");
          commands.back().overrides.emplace_back(word);
        }
      }
    }
  }
  std::stable_sort(commands.begin(), commands.end(),
                   [](const Command& a, const Command& b) { return a.preset < b.preset; });
  return commands;
}

using State = std::map<std::string, Tensor>;

State StateOf(const SsdDetector& detector) {
  State state;
  for (const auto& parameter : detector.named_parameters()) {
    state[parameter.key()] = parameter.value().detach().clone();
  }
  for (const auto& buffer : detector.named_buffers()) state[buffer.key()] = buffer.value().clone();
  return state;
}

// VGG-16's convolutions: torchvision's numbers, which go on to fc6 and fc7, and Caffe's names.
constexpr std::pair<int, const char*> kVgg[] = {
    {0, "conv1_1"},  {2, "conv1_2"},  {5, "conv2_1"},  {7, "conv2_2"},  {10, "conv3_1"},
    {12, "conv3_2"}, {14, "conv3_3"}, {17, "conv4_1"}, {19, "conv4_2"}, {21, "conv4_3"},
    {24, "conv5_1"}, {26, "conv5_2"}, {28, "conv5_3"}, {31, "fc6"},     {33, "fc7"}};
constexpr int kFc6 = 31;

absl::Status WriteCaffeModel(const std::string& path, const State& state) {
  CaffeNet net;
  net.set_name("VGG_ILSVRC_16_layers");
  for (const auto& [number, name] : kVgg) {
    CaffeLayer& layer = *net.add_layer();
    layer.set_name(name);
    for (const char* const kind : {"weight", "bias"}) {
      const Tensor tensor =
          state.at(absl::StrCat("backbone.features.", number, ".", kind)).contiguous();
      CaffeBlob& blob = *layer.add_blobs();
      for (const int64_t extent : tensor.sizes()) blob.mutable_shape()->add_dim(extent);
      const float* const values = tensor.const_data_ptr<float>();
      for (int64_t i = 0; i < tensor.numel(); ++i) blob.add_data(values[i]);
    }
  }
  return WriteFileAtomically(path, net.SerializeAsString());
}

// The published file that `path` names, with weights of `state`.
absl::Status WritePublished(const std::string& path, const State& state) {
  const std::string name = std::filesystem::path(path).filename().string();
  if (name == "VGG_ILSVRC_16_layers_fc_reduced.caffemodel") return WriteCaffeModel(path, state);
  NamedTensors file;
  if (name == "vgg16_features-amdegroot-88682ab5.pth") {
    for (const auto& entry : kVgg) {
      if (entry.first >= kFc6) break;
      for (const char* const kind : {".weight", ".bias"}) {
        const std::string feature = absl::StrCat("features.", entry.first, kind);
        file.tensors.emplace_back(feature, state.at("backbone." + feature));
      }
    }
    for (const char* const layer : {"classifier.0", "classifier.3", "classifier.6"}) {
      file.tensors.emplace_back(absl::StrCat(layer, ".weight"), at::zeros({2, 2}));
      file.tensors.emplace_back(absl::StrCat(layer, ".bias"), at::zeros({2}));
    }
    return WriteTorchFile(path, file);
  }
  // The backbones' names are torchvision's.
  for (const auto& [own, tensor] : state) {
    absl::string_view published = own;
    if (!absl::ConsumePrefix(&published, "backbone.")) continue;
    file.tensors.emplace_back(std::string(published), tensor);
  }
  if (name == "resnet50-0676ba61.pth") {
    file.tensors.emplace_back("layer4.0.conv1.weight", at::zeros({2, 2, 1, 1}));
    file.tensors.emplace_back("fc.weight", at::zeros({2, 2}));
    file.tensors.emplace_back("fc.bias", at::zeros({2}));
    return WriteTorchFile(path, file);
  }
  if (name == "mobilenet_v2-b0353104.pth") {
    file.tensors.emplace_back("classifier.1.weight", at::zeros({2, 2}));
    file.tensors.emplace_back("classifier.1.bias", at::zeros({2}));
    return WriteTorchFile(path, file);
  }
  return absl::NotFoundError(absl::StrCat("nobody publishes ", name));
}

class PresetCommand : public ::testing::TestWithParam<Command> {};

TEST_P(PresetCommand, Works) {
  const std::string folder = absl::StrCat(::testing::TempDir(), "/presets");
  std::filesystem::create_directories(folder);
  const absl::StatusOr<Experiment> experiment = LoadExperiment(
      std::filesystem::absolute(GetParam().preset).string(), GetParam().overrides, folder);
  ASSERT_TRUE(experiment.ok()) << experiment.status();
  if (!experiment->model().has_weights()) return;

  LabelMap labels;
  labels.names = {"a", "b"};
  labels.source_ids = {1, 2};
  const ModelConfig model = Narrow(experiment->model());
  at::manual_seed(1);
  const auto published = SsdDetector::Create(model, labels.num_classes());
  ASSERT_TRUE(published.ok()) << published.status();
  const State expected = StateOf(**published);
  at::manual_seed(2);
  const auto detector = SsdDetector::Create(model, labels.num_classes());
  ASSERT_TRUE(detector.ok()) << detector.status();

  const std::string& path = model.weights().path();
  const absl::Status written = WritePublished(path, expected);
  ASSERT_TRUE(written.ok()) << written;
  const absl::StatusOr<LoadReport> report = LoadWeights(model.weights(), labels, **detector);
  std::filesystem::remove(path);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->mismatched, IsEmpty());
  const State actual = StateOf(**detector);
  for (const std::string& name : report->loaded) {
    EXPECT_TRUE(actual.at(name).equal(expected.at(name))) << name;
  }
  size_t backbone = 0;
  for (const auto& entry : expected) backbone += absl::StartsWith(entry.first, "backbone.") ? 1 : 0;
  EXPECT_EQ(report->loaded.size() + report->missing.size(), backbone);
  for (const std::string& name : report->missing) {
    EXPECT_TRUE(name == "backbone.conv4_3_norm.weight" ||
                absl::StartsWith(name, "backbone.features.31.") ||
                absl::StartsWith(name, "backbone.features.33."))
        << name;
  }
  if (absl::EndsWith(path, "/vgg16_features-amdegroot-88682ab5.pth")) {
    // It cannot be told from torchvision's other one; the network is fed what it was trained on.
    constexpr char kInput[] =
        "input { channel_order: RGB mean: [122.999, 116.999, 103.999] std: [1, 1, 1] }";
    EXPECT_THAT(report->notes,
                ElementsAre(AllOf(
                    HasSubstr(absl::StrCat("vgg16_features-amdegroot-88682ab5.pth on ", kInput)),
                    HasSubstr(absl::StrCat("the detector has ", kInput)))));
  } else {
    EXPECT_THAT(report->notes, IsEmpty()) << "is fed what the weights were trained on";
  }
  if (model.backbone().has_mobilenet_v2()) {
    EXPECT_EQ(model.backbone().mobilenet_v2().norm_epsilon(), 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PresetCommand, ::testing::ValuesIn(Commands()));

TEST(PresetCommandsTest, TellThePretrainedWeights) {
  std::set<std::string> presets;
  for (const Command& command : Commands()) {
    const std::string text = absl::StrJoin(command.overrides, " ");
    if (absl::StrContains(text, "model.weights.path=")) presets.insert(command.preset);
  }
  EXPECT_THAT(presets, ElementsAre("experiments/coco/ssd300_mobilenet_v2.textproto",
                                   "experiments/coco/ssd300_resnet50_nvidia.textproto",
                                   "experiments/coco/ssd300_vgg16.textproto",
                                   "experiments/coco/ssd300_vgg16_torchvision.textproto",
                                   "experiments/coco/ssd512_vgg16.textproto",
                                   "experiments/voc/ssd300_vgg16.textproto",
                                   "experiments/voc/ssd512_vgg16.textproto"));
}

}  // namespace
}  // namespace ssd
