// Weights of this program's and other projects' files into whole detectors, and out of them.

#include "ssd/weights/load_weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <torch/script.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/tensor_files/safetensors.h"
#include "ssd/weights/caffe.pb.h"
#include "ssd/weights/convert_weights.h"
#include "ssd/weights/read_weights.h"
#include "ssd/weights/sources/source.h"
#include "ssd/weights/torch_file_writer.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Few cells, few channels: quick. Three levels of the backbone's, one extra.
constexpr char kTiny[] =
    "num_levels: 4 input { height: 96 width: 128 } backbone { resnet { depth: 18 width: 4 } }";
// Two levels of the backbone's, one extra.
constexpr char kTinyVgg[] =
    "num_levels: 3 input { height: 96 width: 128 } backbone { vgg16 { width: 4 } }";
constexpr char kTinyVggBn[] =
    "num_levels: 3 input { height: 96 width: 128 } backbone { vgg16 { width: 4 norm: BATCH_NORM } "
    "}";

std::shared_ptr<SsdDetector> MakeDetector(const std::string& text, int64_t num_classes,
                                          uint64_t seed = 31) {
  ModelConfig config;
  const absl::Status parsed = ParseTextProto(text, "test", config);
  EXPECT_TRUE(parsed.ok()) << parsed;
  at::manual_seed(seed);
  auto detector = SsdDetector::Create(config, num_classes);
  EXPECT_TRUE(detector.ok()) << detector.status();
  return *std::move(detector);
}

// Copies of all weights by name.
std::map<std::string, Tensor> StateOf(const SsdDetector& detector) {
  std::map<std::string, Tensor> state;
  for (const auto& parameter : detector.named_parameters()) {
    state[parameter.key()] = parameter.value().detach().clone();
  }
  for (const auto& buffer : detector.named_buffers()) state[buffer.key()] = buffer.value().clone();
  return state;
}

void ExpectEqualStates(const SsdDetector& actual, const SsdDetector& expected) {
  const std::map<std::string, Tensor> a = StateOf(actual);
  const std::map<std::string, Tensor> e = StateOf(expected);
  ASSERT_EQ(a.size(), e.size());
  for (const auto& [name, tensor] : e) EXPECT_TRUE(a.at(name).equal(tensor)) << name;
}

std::string TestPath(const std::string& name) { return ::testing::TempDir() + "/" + name; }

LabelMap Labels(const std::vector<std::string>& names) {
  LabelMap labels;
  labels.names = names;
  for (size_t i = 0; i < names.size(); ++i) {
    labels.source_ids.push_back(static_cast<int64_t>(i) + 1);
  }
  return labels;
}

LabelMap NumberedLabels(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.push_back(absl::StrCat("class ", i));
  return Labels(names);
}

std::string Saved(const SsdDetector& detector, const LabelMap& labels, const std::string& name) {
  const absl::Status saved = SaveModel(TestPath(name), detector, labels, "");
  EXPECT_TRUE(saved.ok()) << saved;
  return TestPath(name);
}

absl::StatusOr<LoadReport> Load(const std::string& path, const std::string& options,
                                const LabelMap& labels, SsdDetector& detector) {
  WeightsOptions parsed;
  const absl::Status status = ParseTextProto(options, "test", parsed);
  EXPECT_TRUE(status.ok()) << status;
  parsed.set_path(path);
  return LoadWeights(parsed, labels, detector);
}

// The detector's weights under other names, as another project might have saved them.
WeightFile Renamed(const SsdDetector& detector, const std::string& from, const std::string& to) {
  WeightFile file;
  for (const auto& [name, tensor] : StateOf(detector)) {
    if (absl::StartsWith(name, from)) {
      file.tensors.emplace_back(absl::StrCat(to, name.substr(from.size())), tensor);
    }
  }
  return file;
}

// A classifier of torchvision's: a detector's VGG as far as fc6, which has that number.
std::string VggClassifier(const SsdDetector& detector, int fc6, const std::string& name) {
  const WeightFile all = Renamed(detector, "backbone.features.", "");
  WeightFile file;
  for (const auto& [layer, tensor] : all.tensors) {
    int number = 0;
    EXPECT_TRUE(absl::SimpleAtoi(layer.substr(0, layer.find('.')), &number)) << layer;
    if (number < fc6) file.tensors.emplace_back("features." + layer, tensor);
  }
  file.tensors.emplace_back("classifier.0.weight", at::zeros({2, 2}));
  const absl::Status written = WriteTorchFile(TestPath(name), file);
  EXPECT_TRUE(written.ok()) << written;
  return TestPath(name);
}

// A detector's VGG as Caffe's SSD starts from it.
std::string CaffesVgg(const SsdDetector& detector, const std::string& name) {
  const WeightSource& caffe =
      **FindSource(WeightsOptions::CAFFE_VGG16_REDUCEDFC, WeightFile(), name);
  std::map<std::string, std::map<std::string, Tensor>> layers;  // blobs by number
  for (const auto& [own, tensor] : StateOf(detector)) {
    const std::optional<std::string> blob = RenameBack(caffe.rules, own);
    if (!blob) continue;
    const size_t slash = blob->find('/');
    layers[blob->substr(0, slash)][blob->substr(slash + 1)] = tensor;
  }
  CaffeNet net;
  for (const auto& [layer_name, blobs] : layers) {
    CaffeLayer& layer = *net.add_layer();
    layer.set_name(layer_name);
    for (const auto& entry : blobs) {
      const Tensor values = entry.second.contiguous();
      CaffeBlob& blob = *layer.add_blobs();
      for (const int64_t extent : values.sizes()) blob.mutable_shape()->add_dim(extent);
      const float* const numbers = values.const_data_ptr<float>();
      for (int64_t i = 0; i < values.numel(); ++i) blob.add_data(numbers[i]);
    }
  }
  const absl::Status written = WriteFileAtomically(TestPath(name), net.SerializeAsString());
  EXPECT_TRUE(written.ok()) << written;
  return TestPath(name);
}

TEST(LoadWeightsTest, AModelFileGivesAllItsWeights) {
  const auto saved = MakeDetector(kTiny, 3);
  const std::string path = Saved(*saved, NumberedLabels(3), "whole.pt");
  const auto detector = MakeDetector(kTiny, 3, 77);
  const absl::StatusOr<LoadReport> report = Load(path, "", NumberedLabels(3), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  ExpectEqualStates(*detector, *saved);
  EXPECT_EQ(report->loaded.size(), StateOf(*saved).size());
  EXPECT_THAT(report->missing, IsEmpty());
  EXPECT_THAT(report->unused, IsEmpty());
  EXPECT_THAT(report->mismatched, IsEmpty());
  EXPECT_THAT(report->Summary(), HasSubstr("weights of this program's detectors loaded"));
  for (const Tensor& parameter : detector->parameters()) EXPECT_TRUE(parameter.requires_grad());
}

// A weight of a level's class logits as [anchors, logits, everything else].
Tensor Rows(const SsdDetector& detector, const std::string& name, int64_t logits) {
  const Tensor tensor = StateOf(detector).at(name);
  return tensor.reshape({tensor.size(0) / logits, logits, -1});
}

TEST(LoadWeightsTest, ClassesAreFoundByName) {
  auto saved = MakeDetector(kTiny, 3);
  at::NoGradGuard no_grad;
  for (const auto& parameter : saved->named_parameters()) {
    Tensor value = parameter.value();
    if (absl::StartsWith(parameter.key(), "head.class_logits")) value.normal_();
  }
  const std::string path = Saved(*saved, Labels({"cat", "dog", "person"}), "names.pt");
  auto detector = MakeDetector(kTiny, 2, 77);
  const absl::StatusOr<LoadReport> report = Load(path, "", Labels({"person", "cat"}), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes, Contains(HasSubstr("of the same name")));
  for (const char* const kind : {"weight", "bias"}) {
    for (int level = 0; level < 4; ++level) {
      const std::string name = absl::StrCat("head.class_logits.", level, ".", kind);
      const Tensor actual = Rows(*detector, name, 3);
      const Tensor stored = Rows(*saved, name, 4);
      EXPECT_TRUE(actual.select(1, 0).equal(stored.select(1, 0))) << "background, " << name;
      EXPECT_TRUE(actual.select(1, 1).equal(stored.select(1, 3))) << "person, " << name;
      EXPECT_TRUE(actual.select(1, 2).equal(stored.select(1, 1))) << "cat, " << name;
    }
  }
  // Also when there are as many, in another order.
  auto turned = MakeDetector(kTiny, 3, 77);
  ASSERT_TRUE(Load(path, "", Labels({"person", "dog", "cat"}), *turned).ok());
  const std::string bias = "head.class_logits.0.bias";
  EXPECT_TRUE(Rows(*turned, bias, 4).select(1, 1).equal(Rows(*saved, bias, 4).select(1, 3)));
  // A head of sigmoids has no background.
  auto sigmoid =
      MakeDetector(absl::StrCat(kTiny, " head { activation: SIGMOID } loss { focal {} }"), 2, 77);
  const absl::StatusOr<LoadReport> without = Load(path, "", Labels({"dog", "cat"}), *sigmoid);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_TRUE(Rows(*sigmoid, bias, 2).select(1, 0).equal(Rows(*saved, bias, 4).select(1, 2)));
  EXPECT_TRUE(Rows(*sigmoid, bias, 2).select(1, 1).equal(Rows(*saved, bias, 4).select(1, 1)));
}

TEST(LoadWeightsTest, ClassesThatTheFileLacksStayAsTheyAre) {
  auto saved = MakeDetector(kTiny, 3);
  at::NoGradGuard no_grad;
  const std::string bias = "head.class_logits.0.bias";
  saved->named_parameters()[bias].normal_();
  const Tensor stored = Rows(*saved, bias, 4);
  const std::string path = Saved(*saved, Labels({"cat", "dog", "person"}), "some.pt");
  auto detector = MakeDetector(kTiny, 3, 77);
  const Tensor before = Rows(*detector, bias, 4);
  const absl::StatusOr<LoadReport> report =
      Load(path, "", Labels({"person", "robot", "cat"}), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->notes, ElementsAre(HasSubstr("start as without the file: robot")));
  const Tensor actual = Rows(*detector, bias, 4);
  EXPECT_TRUE(actual.select(1, 0).equal(stored.select(1, 0)));
  EXPECT_TRUE(actual.select(1, 1).equal(stored.select(1, 3)));
  EXPECT_TRUE(actual.select(1, 2).equal(before.select(1, 2)));
  EXPECT_TRUE(actual.select(1, 3).equal(stored.select(1, 1)));
  // None is found: only the background.
  auto other = MakeDetector(kTiny, 3, 77);
  ASSERT_TRUE(Load(path, "", Labels({"a", "b", "c"}), *other).ok());
  EXPECT_TRUE(Rows(*other, bias, 4).select(1, 0).equal(stored.select(1, 0)));
  EXPECT_TRUE(Rows(*other, bias, 4).slice(1, 1).equal(before.slice(1, 1)));
  // A file without names.
  const std::string nameless = TestPath("nameless.safetensors");
  ASSERT_TRUE(WriteSafetensors(nameless, Renamed(*saved, "", "")).ok());
  const absl::StatusOr<LoadReport> in_order =
      Load(nameless, "", Labels({"person", "robot", "cat"}), *detector);
  ASSERT_TRUE(in_order.ok()) << in_order.status();
  EXPECT_THAT(in_order->notes,
              ElementsAre(HasSubstr("classes are unknown"), HasSubstr("does not tell what")));
  EXPECT_TRUE(Rows(*detector, bias, 4).equal(stored));
}

TEST(LoadWeightsTest, WholeNumbersAreNoWeights) {
  const auto saved = MakeDetector(kTiny, 3);
  WeightFile file = Renamed(*saved, "", "");
  for (auto& [name, tensor] : file.tensors) {
    if (name == "neck.0.conv1.bias") tensor = tensor.to(at::kInt);
  }
  const std::string path = TestPath("whole.safetensors");
  ASSERT_TRUE(WriteSafetensors(path, file).ok());
  EXPECT_THAT(
      std::string(Load(path, "allow_mismatched: '*' allow_missing: '*'", NumberedLabels(3), *saved)
                      .status()
                      .message()),
      HasSubstr("'neck.0.conv1.bias' is of type Int, the detector's of Float"));
}

// Its folder "extra" has an entry of the same name as our index.
TEST(ReadWeightsTest, ATorchScriptArchiveWithAnIndexIsNotOurs) {
  torch::jit::Module module("__torch__.M");
  module.register_buffer("w", at::ones({2}));
  torch::jit::ExtraFilesMap extra;
  extra["index"] = "text";
  const std::string path = TestPath("extra.pt");
  module.save(path, extra);
  const absl::StatusOr<WeightFile> file = ReadWeights(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_NE(file->Find("w"), nullptr);
  EXPECT_TRUE(file->Find("w")->equal(at::ones({2})));
}

TEST(ReadWeightsTest, CaffesFilesAreToldByTheirContent) {
  const auto saved = MakeDetector(kTinyVgg, 3);
  const std::string path = CaffesVgg(*saved, "vgg_of_any_name");
  const absl::StatusOr<WeightFile> file = ReadWeights(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_NE(file->Find("conv1_1/0"), nullptr);
  EXPECT_TRUE(file->Find("conv1_1/0")->equal(StateOf(*saved).at("backbone.features.0.weight")));
  // Of one that is cut off nothing but its name tells.
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const std::string cut = TestPath("cut.caffemodel");
  ASSERT_TRUE(WriteFileAtomically(cut, bytes->substr(0, bytes->size() - 1)).ok());
  EXPECT_THAT(std::string(ReadWeights(cut).status().message()), HasSubstr("is no Caffe model, or"));
}

TEST(LoadWeightsTest, ClassRowsAreTakenAsGiven) {
  auto saved = MakeDetector(kTiny, 3);
  at::NoGradGuard no_grad;
  const std::string bias = "head.class_logits.0.bias";
  saved->named_parameters()[bias].normal_();
  const std::string path = Saved(*saved, Labels({"cat", "dog", "person"}), "rows.pt");
  auto detector = MakeDetector(kTiny, 3, 77);
  const Tensor before = Rows(*detector, bias, 4);
  const absl::StatusOr<LoadReport> report =
      Load(path, "class_row { label: 'robot' row: 2 } class_row { label: 'kitten' from: 'cat' }",
           Labels({"kitten", "robot", "tree"}), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  const Tensor actual = Rows(*detector, bias, 4);
  const Tensor stored = Rows(*saved, bias, 4);
  EXPECT_TRUE(actual.select(1, 0).equal(stored.select(1, 0)));
  EXPECT_TRUE(actual.select(1, 1).equal(stored.select(1, 1)));
  EXPECT_TRUE(actual.select(1, 2).equal(stored.select(1, 2)));
  EXPECT_TRUE(actual.select(1, 3).equal(before.select(1, 3))) << "tree has no row";
  // A file whose background comes last.
  ASSERT_TRUE(Load(path,
                   "class_row { label: 'background' row: 3 } class_row { label: 'robot' row: 0 }",
                   Labels({"kitten", "robot", "tree"}), *detector)
                  .ok());
  EXPECT_TRUE(Rows(*detector, bias, 4).select(1, 0).equal(stored.select(1, 3)));
  EXPECT_TRUE(Rows(*detector, bias, 4).select(1, 2).equal(stored.select(1, 0)));

  const auto error = [&](const std::string& options) {
    return std::string(
        Load(path, options, Labels({"kitten", "robot", "tree"}), *detector).status().message());
  };
  EXPECT_EQ(error("class_row { label: 'bird' row: 1 }"),
            "model.weights.class_row[0].label: 'bird' is none of the labels: kitten, robot, tree");
  EXPECT_EQ(error("class_row { label: 'tree' }"),
            "model.weights.class_row[0].row: set either row or from");
  EXPECT_EQ(error("class_row { label: 'tree' row: 4 }"),
            "model.weights.class_row[0].row: 4 must be in [0, 3]");
  EXPECT_THAT(error("class_row { label: 'tree' from: 'oak' }"), HasSubstr("'oak' is no class"));
}

// 4 boxes of 20 classes and the background are as many logits as 6 boxes of 13.
TEST(LoadWeightsTest, LogitsOfOtherBoxesAreNotTakenForClasses) {
  const auto saved = MakeDetector(kTiny, 20);
  const std::string path = Saved(*saved, NumberedLabels(20), "boxes.pt");
  const auto detector =
      MakeDetector(absl::StrCat(kTiny,
                                " anchor_generator { ssd { level { aspect_ratio: [2, 3] }"
                                " level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] }"
                                " level { aspect_ratio: [2, 3] } } }"),
                   13, 77);
  const std::map<std::string, Tensor> before = StateOf(*detector);
  const std::string first = "head.class_logits.0.weight";
  ASSERT_EQ(StateOf(*saved).at(first).sizes(), before.at(first).sizes());
  const std::string row = "class_row { label: 'class 0' row: 5 }";
  const std::string error(Load(path, row, NumberedLabels(13), *detector).status().message());
  EXPECT_THAT(error, HasSubstr("the file has 4 boxes a cell of level 0, the detector 6 "
                               "(allow_mismatched)"));
  const absl::StatusOr<LoadReport> report = Load(
      path, absl::StrCat(row, " allow_mismatched: 'head.*.0.*'"), NumberedLabels(13), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->mismatched.size(), 4u);
  EXPECT_TRUE(StateOf(*detector).at(first).equal(before.at(first)));
  const std::string second = "head.class_logits.1.weight";
  EXPECT_TRUE(
      Rows(*detector, second, 14).select(1, 1).equal(Rows(*saved, second, 21).select(1, 5)));

  const absl::StatusOr<LoadReport> backbone =
      Load(path, absl::StrCat(row, " part: BACKBONE"), NumberedLabels(13), *detector);
  ASSERT_TRUE(backbone.ok()) << backbone.status();
  EXPECT_THAT(backbone->notes, Contains(HasSubstr("class_row has no effect")));
}

TEST(LoadWeightsTest, WhatDoesNotFitIsAnErrorUnlessPermitted) {
  const auto saved = MakeDetector(kTiny, 3);
  WeightFile file = Renamed(*saved, "", "");
  const std::string path = TestPath("misfit.safetensors");
  for (auto& [name, tensor] : file.tensors) {
    if (name == "neck.0.conv1.bias") name = "neck.9.conv1.bias";
    if (name == "backbone.conv1.weight") tensor = at::zeros({4, 3, 3, 3});
  }
  ASSERT_TRUE(WriteSafetensors(path, file).ok());
  auto detector = MakeDetector(kTiny, 3, 77);
  const std::map<std::string, Tensor> before = StateOf(*detector);
  const auto error = [&](const std::string& options) {
    return std::string(Load(path, options, NumberedLabels(3), *detector).status().message());
  };
  const std::string all = error("");
  EXPECT_EQ(all.find(path), 0u) << all;
  EXPECT_THAT(all, HasSubstr("'neck.0.conv1.bias' is missing (allow_missing)"));
  EXPECT_THAT(all, HasSubstr("the file's 'neck.9.conv1.bias' has no place in the detector "
                             "(allow_unused)"));
  EXPECT_THAT(all, HasSubstr("'backbone.conv1.weight' has shape [4, 3, 3, 3], the detector's has "
                             "[4, 3, 7, 7] (allow_mismatched)"));
  for (const auto& [name, tensor] : StateOf(*detector)) {
    EXPECT_TRUE(tensor.equal(before.at(name))) << name << " changed in spite of the error";
  }
  EXPECT_THAT(error("allow_missing: 'neck.*' allow_unused: '*'"), HasSubstr("has shape"));
  const absl::StatusOr<LoadReport> report =
      Load(path, "allow_missing: '*.bias' allow_unused: 'neck.9*' allow_mismatched: '*conv1*'",
           NumberedLabels(3), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->missing, ElementsAre("neck.0.conv1.bias"));
  EXPECT_THAT(report->unused, ElementsAre("neck.9.conv1.bias"));
  EXPECT_EQ(report->mismatched.size(), 1u);
  const std::map<std::string, Tensor> after = StateOf(*detector);
  EXPECT_TRUE(after.at("backbone.conv1.weight").equal(before.at("backbone.conv1.weight")));
  EXPECT_TRUE(after.at("neck.0.conv1.weight").equal(StateOf(*saved).at("neck.0.conv1.weight")));

  // Another number of classes that nothing tells apart.
  auto other = MakeDetector(kTiny, 5, 77);
  const absl::Status classes = Load(Saved(*saved, NumberedLabels(3), "three.pt"), "",
                                    Labels({"a", "b", "c", "d", "e"}), *other)
                                   .status();
  EXPECT_THAT(std::string(classes.message()), HasSubstr("(class_row, allow_mismatched)"));

  WeightsOptions empty;
  EXPECT_THAT(std::string(LoadWeights(empty, NumberedLabels(3), *detector).status().message()),
              HasSubstr("model.weights.path is not set"));
}

TEST(LoadWeightsTest, ABackboneOfTorchvisionsClassifier) {
  const auto saved = MakeDetector(kTiny, 3);
  WeightFile file = Renamed(*saved, "backbone.", "");
  file.tensors.emplace_back("fc.weight", at::zeros({1000, 32}));
  file.tensors.emplace_back("fc.bias", at::zeros({1000}));
  // Files before 2018 lack the counters.
  WeightFile old;
  for (const auto& entry : file.tensors) {
    if (!absl::EndsWith(entry.first, "num_batches_tracked")) old.tensors.push_back(entry);
  }
  const std::string path = TestPath("resnet18.pth");
  ASSERT_TRUE(WriteTorchFile(path, old).ok());
  auto detector = MakeDetector(kTiny, 3, 77);
  const std::map<std::string, Tensor> before = StateOf(*detector);
  EXPECT_THAT(std::string(Load(path, "", NumberedLabels(3), *detector).status().message()),
              HasSubstr("set model.weights.part: BACKBONE"));
  const absl::StatusOr<LoadReport> report =
      Load(path, "part: BACKBONE", NumberedLabels(3), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->source, "torchvision's ResNets");
  EXPECT_THAT(report->unused, IsEmpty());
  EXPECT_THAT(report->notes, IsEmpty()) << "the default input is ImageNet's";
  const std::map<std::string, Tensor> expected = StateOf(*saved);
  for (const auto& [name, tensor] : StateOf(*detector)) {
    const bool loaded = absl::StartsWith(name, "backbone.");
    EXPECT_TRUE(tensor.equal(loaded ? expected.at(name) : before.at(name))) << name;
  }
  // NVIDIA's form has no layer4.
  auto conv4 = MakeDetector(
      "num_levels: 3 input { height: 96 width: 128 mean: [104, 117, 123] std: [1, 1, 1] "
      "channel_order: BGR } backbone { resnet { depth: 18 width: 4 form: CONV4_STRIDE_1 } }",
      3, 77);
  const absl::StatusOr<LoadReport> shorter =
      Load(path, "part: BACKBONE", NumberedLabels(3), *conv4);
  ASSERT_TRUE(shorter.ok()) << shorter.status();
  EXPECT_FALSE(shorter->unused.empty());
  EXPECT_THAT(shorter->notes, Contains(HasSubstr("trained on input { channel_order: RGB")));
  // A deeper one has weights that the file lacks.
  auto deeper = MakeDetector(
      "num_levels: 3 input { height: 96 width: 128 } backbone { resnet { depth: 34 width: 4 } }",
      3);
  EXPECT_THAT(
      std::string(Load(path, "part: BACKBONE", NumberedLabels(3), *deeper).status().message()),
      HasSubstr("'backbone.layer1.2.bn1.bias' is missing"));
}

// By torchvision's own names and shapes.
TEST(LoadWeightsTest, BackbonesOfTorchvisionsMobilenets) {
  const struct {
    const char* name;  // entry of arch.json
    const char* backbone;
    std::vector<std::string> classifier;
  } cases[] = {
      {"mobilenet_v2", "mobilenet_v2 {}", {"classifier.1"}},
      {"mobilenet_v3_large",
       "mobilenet_v3_large { reduced_tail: false }",
       {"classifier.0", "classifier.3"}},
  };
  for (const auto& c : cases) {
    WeightFile file;
    std::map<std::string, Tensor> expected;
    at::manual_seed(32);
    for (const auto& entry : golden::File("arch.json")[c.name]["state_dict"].GetArray()) {
      const std::string name = entry[0].GetString();
      std::vector<int64_t> shape;
      for (const auto& extent : entry[1].GetArray()) shape.push_back(extent.GetInt64());
      const Tensor tensor = absl::EndsWith(name, "num_batches_tracked")
                                ? at::full(shape, 7, at::kLong)
                                : at::rand(shape);
      file.tensors.emplace_back(name, tensor);
      expected["backbone." + name] = tensor;
    }
    for (const std::string& layer : c.classifier) {
      file.tensors.emplace_back(layer + ".weight", at::zeros({2, 2}));
      file.tensors.emplace_back(layer + ".bias", at::zeros({2}));
    }
    const std::string path = TestPath(absl::StrCat(c.name, ".pth"));
    ASSERT_TRUE(WriteTorchFile(path, file).ok());
    auto detector = MakeDetector(absl::StrCat("num_levels: 3 input { height: 96 width: 128 } "
                                              "backbone { ",
                                              c.backbone, " }"),
                                 3);
    const absl::StatusOr<LoadReport> report =
        Load(path, "part: BACKBONE", NumberedLabels(3), *detector);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->source, absl::StrCat("torchvision's ", c.name));
    EXPECT_THAT(report->missing, IsEmpty());
    EXPECT_THAT(report->unused, IsEmpty());
    EXPECT_THAT(report->mismatched, IsEmpty());
    EXPECT_THAT(report->notes, IsEmpty()) << "the default input is ImageNet's";
    EXPECT_EQ(report->loaded.size(), expected.size());
    for (const auto& [name, tensor] : StateOf(*detector)) {
      if (!absl::StartsWith(name, "backbone.")) continue;
      ASSERT_EQ(expected.count(name), 1u) << name;
      EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
    }
  }
}

TEST(LoadWeightsTest, ReducedVggLacksTheScalesOfItsL2Norm) {
  const auto saved = MakeDetector(kTinyVgg, 3);
  WeightFile file = Renamed(*saved, "backbone.features.", "");
  const std::string path = TestPath("vgg16_reducedfc.pth");
  ASSERT_TRUE(WriteTorchFile(path, file).ok());
  auto detector = MakeDetector(kTinyVgg, 3, 77);
  const absl::StatusOr<LoadReport> report =
      Load(path, "part: BACKBONE", NumberedLabels(3), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(report->missing, ElementsAre("backbone.conv4_3_norm.weight"));
  EXPECT_TRUE(StateOf(*detector)
                  .at("backbone.features.31.weight")
                  .equal(StateOf(*saved).at("backbone.features.31.weight")));
}

TEST(LoadWeightsTest, TorchvisionsVgg16DoesNotTellItsInput) {
  const auto saved = MakeDetector(kTinyVgg, 3);
  auto detector = MakeDetector(kTinyVgg, 3, 77);
  const absl::StatusOr<LoadReport> report =
      Load(VggClassifier(*saved, 31, "vgg16.pth"), "part: BACKBONE", NumberedLabels(3), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->source, "torchvision's vgg16");
  EXPECT_EQ(report->missing.size(), 5u) << "fc6, fc7 and the scales";
  EXPECT_THAT(report->notes,
              ElementsAre(AllOf(HasSubstr("vgg16-397923af.pth on input { channel_order: RGB mean: "
                                          "[123.675"),
                                HasSubstr("vgg16_features-amdegroot-88682ab5.pth on input { "
                                          "channel_order: RGB mean: [122.999"))));
  EXPECT_TRUE(StateOf(*detector)
                  .at("backbone.features.28.weight")
                  .equal(StateOf(*saved).at("backbone.features.28.weight")));
  // vgg16_bn's is known.
  const auto normed = MakeDetector(kTinyVggBn, 3);
  auto detector_bn = MakeDetector(kTinyVggBn, 3, 77);
  const absl::StatusOr<LoadReport> report_bn =
      Load(VggClassifier(*normed, 44, "vgg16_bn.pth"), "part: BACKBONE", NumberedLabels(3),
           *detector_bn);
  ASSERT_TRUE(report_bn.ok()) << report_bn.status();
  EXPECT_EQ(report_bn->source, "torchvision's vgg16_bn");
  EXPECT_THAT(report_bn->notes, IsEmpty());
}

// --- peers' detectors ---

struct Peer {
  const char* golden;  // entry of arch.json
  WeightsOptions::Source source;
  int64_t classes;
  const char* config;
};

void PrintTo(const Peer& peer, std::ostream* out) { *out << peer.golden; }

class PeersDetectorTest : public ::testing::TestWithParam<Peer> {};

// Every weight of the peer's network has its place and shape here.
TEST_P(PeersDetectorTest, FitsOurs) {
  const Peer& peer = GetParam();
  const auto detector = MakeDetector(peer.config, peer.classes);
  WeightFile file;
  for (const auto& entry : golden::File("arch.json")[peer.golden]["state_dict"].GetArray()) {
    std::vector<int64_t> shape;
    for (const auto& extent : entry[1].GetArray()) shape.push_back(extent.GetInt64());
    file.tensors.emplace_back(entry[0].GetString(), at::empty(shape));
  }
  const absl::StatusOr<const WeightSource*> source = FindSource(peer.source, file, "peer");
  ASSERT_TRUE(source.ok()) << source.status();
  const auto tensors = Translate(**source, file, "peer");
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& parameter : detector->named_parameters()) {
    shapes[parameter.key()] = parameter.value().sizes().vec();
  }
  for (const auto& buffer : detector->named_buffers()) {
    shapes[buffer.key()] = buffer.value().sizes().vec();
  }
  for (const TranslatedTensor& tensor : *tensors) {
    ASSERT_TRUE(tensor.name.has_value()) << tensor.file_name;
    ASSERT_EQ(shapes.count(*tensor.name), 1u) << tensor.file_name << " as " << *tensor.name;
    EXPECT_EQ(shapes.at(*tensor.name), tensor.tensor.sizes().vec()) << *tensor.name;
  }
  // NVIDIA's entry lists its end alone.
  if (!golden::File("arch.json")[peer.golden].HasMember("note")) {
    EXPECT_EQ(shapes.size(), tensors->size());
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PeersDetectorTest,
    ::testing::Values(
        Peer{"torchvision_ssd300_vgg16_91", WeightsOptions::TORCHVISION_SSD300_VGG16, 90,
             "backbone { vgg16 {} }"},
        Peer{"amdegroot_ssd300_21", WeightsOptions::AMDEGROOT_SSD300, 20, "backbone { vgg16 {} }"},
        Peer{"nvidia_ssd300_resnet50_81", WeightsOptions::NVIDIA_SSD300_RESNET50, 80,
             "backbone { resnet { depth: 50 form: CONV4_STRIDE_1 } }"
             "neck { ssd_extras { channels: [512, 512, 256] mid_channels: [256, 256, 128]"
             "  norm: BATCH_NORM } }"},
        Peer{"torchvision_ssdlite320_91_reduced_tail",
             WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE, 90,
             "input { height: 320 width: 320 } backbone { mobilenet_v3_large {} }"
             "neck { ssdlite_extras {} } head { separable: true }"
             "anchor_generator { ssd { level { aspect_ratio: [2, 3] }"
             "  level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] }"
             "  level { aspect_ratio: [2, 3] } level { aspect_ratio: [2, 3] }"
             "  level { aspect_ratio: [2, 3] } } }"}),
    [](const auto& info) { return std::string(info.param.golden); });

// --- conversion ---

TEST(ConvertWeightsTest, GoesToTorchvisionsNamesAndBack) {
  const auto saved = MakeDetector(kTinyVgg, 3);
  const LabelMap labels = NumberedLabels(3);
  for (const char* const ending : {".pt", ".safetensors"}) {
    ConversionOptions options;
    options.input = Saved(*saved, labels, "convert.pt");
    options.output = TestPath(absl::StrCat("converted", ending));
    const absl::StatusOr<Conversion> conversion = ConvertWeights(options);
    ASSERT_TRUE(conversion.ok()) << conversion.status();
    EXPECT_EQ(conversion->target, "torchvision's ssd300_vgg16");
    EXPECT_EQ(conversion->rows.size(), StateOf(*saved).size());
    EXPECT_THAT(conversion->left_out, IsEmpty());
    EXPECT_THAT(conversion->notes, ElementsAre(HasSubstr("torchvision's ssd300_vgg16 is fed")));
    const absl::StatusOr<WeightFile> file = ReadWeights(options.output);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_NE(file->Find("backbone.scale_weight"), nullptr);
    EXPECT_NE(file->Find("backbone.extra.0.7.3.weight"), nullptr);
    EXPECT_NE(file->Find("backbone.extra.1.2.bias"), nullptr);
    EXPECT_NE(file->Find("head.regression_head.module_list.2.weight"), nullptr);

    auto detector = MakeDetector(kTinyVgg, 3, 77);
    const absl::StatusOr<LoadReport> report = Load(options.output, "", labels, *detector);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->source, "torchvision's ssd300_vgg16");
    ExpectEqualStates(*detector, *saved);
  }
}

TEST(ConvertWeightsTest, TorchvisionsNetworksAreFedRgb) {
  const auto saved = MakeDetector(
      "num_levels: 3 input { height: 96 width: 128 channel_order: BGR mean: [104, 117, 123] "
      "std: [1, 1, 1] } backbone { vgg16 { width: 4 } }",
      3);
  const std::map<std::string, Tensor> state = StateOf(*saved);
  ConversionOptions options;
  options.input = Saved(*saved, NumberedLabels(3), "bgr.pt");
  options.output = TestPath("rgb.safetensors");
  const absl::StatusOr<Conversion> conversion = ConvertWeights(options);
  ASSERT_TRUE(conversion.ok()) << conversion.status();
  // The means are torchvision's in the other order.
  EXPECT_THAT(conversion->notes, ElementsAre(HasSubstr("turned from BGR to RGB")));
  const absl::StatusOr<WeightFile> turned = ReadWeights(options.output);
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_TRUE(turned->Find("backbone.features.0.weight")
                  ->equal(state.at("backbone.features.0.weight").flip({1})));
  EXPECT_TRUE(
      turned->Find("backbone.features.2.weight")->equal(state.at("backbone.features.2.weight")));

  options.names = "own";
  const absl::StatusOr<Conversion> own = ConvertWeights(options);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_THAT(own->notes, ElementsAre(HasSubstr("trained on input { channel_order: BGR")));
  const absl::StatusOr<WeightFile> same = ReadWeights(options.output);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_TRUE(
      same->Find("backbone.features.0.weight")->equal(state.at("backbone.features.0.weight")));
}

// Networks that have torchvision's names in part.
TEST(ConvertWeightsTest, OtherNetworksAreNotCalledTorchvisions) {
  const auto error = [](const std::string& input) {
    ConversionOptions options;
    options.input = input;
    options.output = TestPath("refused.safetensors");
    return std::string(ConvertWeights(options).status().message());
  };
  // Its norms have the numbers of ssd300_vgg16's convolutions.
  const auto normed = MakeDetector(kTinyVggBn, 3);
  EXPECT_THAT(error(Saved(*normed, NumberedLabels(3), "vgg_bn.pt")),
              AllOf(HasSubstr("torchvision has no such network: no name for "
                              "'backbone.features.1."),
                    HasSubstr("--names=own")));
  // The classifiers have neither fc6 nor fc7 with these numbers.
  const auto plain = MakeDetector(kTinyVgg, 3);
  const std::string reduced = TestPath("reducedfc.pth");
  ASSERT_TRUE(WriteTorchFile(reduced, Renamed(*plain, "backbone.features.", "")).ok());
  EXPECT_THAT(error(reduced), HasSubstr("no name for 'backbone.features.31."));
  EXPECT_THAT(error(CaffesVgg(*plain, "reduced.caffemodel")),
              HasSubstr("no name for 'backbone.features.31."));
}

TEST(ConvertWeightsTest, ClassifiersOfTorchvisionsStayWhatTheyAre) {
  const auto expect = [](const std::string& input, const std::string& target) {
    ConversionOptions options;
    options.input = input;
    options.output = TestPath("classifier.safetensors");
    const absl::StatusOr<Conversion> conversion = ConvertWeights(options);
    ASSERT_TRUE(conversion.ok()) << conversion.status();
    EXPECT_EQ(conversion->target, target);
    for (const Conversion::Row& row : conversion->rows) EXPECT_EQ(row.name, row.file_name);
    EXPECT_THAT(conversion->left_out, ElementsAre("classifier.0.weight"));
  };
  expect(VggClassifier(*MakeDetector(kTinyVgg, 3), 31, "plain.pth"), "torchvision's vgg16");
  expect(VggClassifier(*MakeDetector(kTinyVggBn, 3), 44, "normed.pth"), "torchvision's vgg16_bn");
}

TEST(ConvertWeightsTest, ABackboneUnderOurNamesIsLoadedBack) {
  const auto saved = MakeDetector(kTiny, 3);
  const std::map<std::string, Tensor> expected = StateOf(*saved);
  WeightFile file = Renamed(*saved, "backbone.", "");
  file.tensors.emplace_back("fc.weight", at::zeros({2, 2}));
  ConversionOptions options;
  options.names = "own";
  options.input = TestPath("resnet18_to_own.pth");
  ASSERT_TRUE(WriteTorchFile(options.input, file).ok());
  for (const bool keeps_input : {false, true}) {
    options.output = TestPath(keeps_input ? "resnet18.safetensors" : "resnet18.pt");
    const absl::StatusOr<Conversion> conversion = ConvertWeights(options);
    ASSERT_TRUE(conversion.ok()) << conversion.status();
    EXPECT_THAT(conversion->left_out, ElementsAre("fc.weight"));
    if (!keeps_input) {
      EXPECT_THAT(conversion->notes, Contains(HasSubstr("keeps no names")));
    }
    auto detector = MakeDetector(kTiny, 3, 77);
    EXPECT_THAT(
        std::string(Load(options.output, "", NumberedLabels(3), *detector).status().message()),
        HasSubstr("set model.weights.part: BACKBONE"));
    const absl::StatusOr<LoadReport> report =
        Load(options.output, "part: BACKBONE", NumberedLabels(3), *detector);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(report->source, "this program's backbones");
    EXPECT_THAT(report->missing, IsEmpty());
    for (const auto& [name, tensor] : StateOf(*detector)) {
      if (!absl::StartsWith(name, "backbone.")) continue;
      EXPECT_TRUE(tensor.equal(expected.at(name))) << name;
    }
    if (keeps_input) {
      EXPECT_THAT(report->notes, IsEmpty());
    } else {
      EXPECT_THAT(report->notes, ElementsAre(HasSubstr("does not tell what")));
    }
    // As torchvision's own file, it may have more than is needed.
    auto conv4 = MakeDetector(
        "num_levels: 3 input { height: 96 width: 128 } "
        "backbone { resnet { depth: 18 width: 4 form: CONV4_STRIDE_1 } }",
        3, 77);
    const absl::Status shorter =
        Load(options.output, "part: BACKBONE", NumberedLabels(3), *conv4).status();
    EXPECT_TRUE(shorter.ok()) << shorter;
  }
}

TEST(ConvertWeightsTest, ClassesAndInputStayWithTheWeights) {
  const auto saved = MakeDetector(
      "num_levels: 3 input { height: 96 width: 128 channel_order: BGR mean: [104, 117, 123] "
      "std: [1, 1, 1] } backbone { vgg16 { width: 4 } }",
      3);
  at::NoGradGuard no_grad;
  const std::string bias = "head.class_logits.0.bias";
  saved->named_parameters()[bias].normal_();
  ConversionOptions options;
  options.names = "own";
  options.input = Saved(*saved, Labels({"cat", "dog", "person"}), "bgr_classes.pt");
  options.output = TestPath("bgr_classes.safetensors");
  ASSERT_TRUE(ConvertWeights(options).ok());
  const absl::StatusOr<WeightFile> own = ReadWeights(options.output);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_THAT(own->labels, ElementsAre("cat", "dog", "person"));
  ASSERT_TRUE(own->input.has_value());
  EXPECT_TRUE(own->input->bgr);
  EXPECT_THAT(own->input->mean, ElementsAre(104, 117, 123));
  EXPECT_THAT(own->input->deviation, ElementsAre(1, 1, 1));
  auto detector = MakeDetector(kTinyVgg, 2, 77);
  const absl::StatusOr<LoadReport> report =
      Load(options.output, "", Labels({"person", "cat"}), *detector);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(Rows(*detector, bias, 3).select(1, 1).equal(Rows(*saved, bias, 4).select(1, 3)));
  EXPECT_THAT(report->notes, Contains(HasSubstr("trained on input { channel_order: BGR")));

  // Turned with the first convolution.
  options.names = "torchvision";
  ASSERT_TRUE(ConvertWeights(options).ok());
  const absl::StatusOr<WeightFile> turned = ReadWeights(options.output);
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_THAT(turned->labels, ElementsAre("cat", "dog", "person"));
  ASSERT_TRUE(turned->input.has_value());
  EXPECT_FALSE(turned->input->bgr);
  EXPECT_THAT(turned->input->mean, ElementsAre(123, 117, 104));

  // What the source is known to be fed.
  options.names = "own";
  options.input = CaffesVgg(*saved, "bgr.caffemodel");
  ASSERT_TRUE(ConvertWeights(options).ok());
  auto fed_rgb = MakeDetector(kTinyVgg, 2, 77);
  const absl::StatusOr<LoadReport> caffe =
      Load(options.output, "part: BACKBONE", Labels({"person", "cat"}), *fed_rgb);
  ASSERT_TRUE(caffe.ok()) << caffe.status();
  EXPECT_THAT(caffe->missing, ElementsAre("backbone.conv4_3_norm.weight"));
  EXPECT_THAT(caffe->notes, ElementsAre(HasSubstr("trained on input { channel_order: BGR mean: "
                                                  "[104, 117, 123] std: [1, 1, 1] }")));
}

TEST(ConvertWeightsTest, KeepsOurNamesOnRequest) {
  const auto saved = MakeDetector(kTiny, 3);
  ConversionOptions options;
  options.input = Saved(*saved, NumberedLabels(3), "own.pt");
  options.output = TestPath("own.safetensors");
  EXPECT_THAT(std::string(ConvertWeights(options).status().message()),
              HasSubstr("no name for 'neck.0.conv1.weight'; use --names=own"));
  options.names = "own";
  const absl::StatusOr<Conversion> conversion = ConvertWeights(options);
  ASSERT_TRUE(conversion.ok()) << conversion.status();
  EXPECT_EQ(conversion->rows[0].type, "float32");
  auto detector = MakeDetector(kTiny, 3, 77);
  ASSERT_TRUE(Load(options.output, "", NumberedLabels(3), *detector).ok());
  ExpectEqualStates(*detector, *saved);

  options.names = "keras";
  EXPECT_THAT(std::string(ConvertWeights(options).status().message()),
              HasSubstr("--names='keras'"));
  options.names = "own";
  options.output = TestPath("own.onnx");
  EXPECT_THAT(std::string(ConvertWeights(options).status().message()), HasSubstr("own.onnx'"));
  options.output = TestPath("own.pt");
  options.input = TestPath("nowhere.pt");
  EXPECT_EQ(ConvertWeights(options).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace ssd
