#include "ssd/weights/sources/source.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

// Tensors without values, of the names and shapes that a peer's network has.
WeightFile PeersFile(const char* peer) {
  WeightFile file;
  for (const auto& entry : golden::File("arch.json")[peer]["state_dict"].GetArray()) {
    std::vector<int64_t> shape;
    for (const auto& extent : entry[1].GetArray()) shape.push_back(extent.GetInt64());
    file.tensors.emplace_back(entry[0].GetString(), at::empty(shape));
  }
  return file;
}

WeightFile FileOf(const std::vector<std::string>& names) {
  WeightFile file;
  for (const std::string& name : names) file.tensors.emplace_back(name, at::zeros({1}));
  return file;
}

// What NVIDIA's list in arch.json leaves out, as torchvision's ResNet-50 numbers its children.
WeightFile NvidiasFile() {
  WeightFile file;
  for (const auto& entry : golden::File("arch.json")["resnet"]["50"]["state_dict"].GetArray()) {
    std::string name = entry[0].GetString();
    for (const auto& [from, to] : std::map<std::string, std::string>{
             {"conv1", "0"}, {"bn1", "1"}, {"layer1", "4"}, {"layer2", "5"}, {"layer3", "6"}}) {
      if (!absl::StartsWith(name, from + ".")) continue;
      file.tensors.emplace_back(
          absl::StrCat("feature_extractor.feature_extractor.", to, name.substr(from.size())),
          at::zeros({1}));
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (const char* const layer : {"0.weight", "1.weight", "3.weight", "4.bias"}) {
      file.tensors.emplace_back(absl::StrCat("additional_blocks.", i, ".", layer), at::zeros({1}));
    }
  }
  for (auto& entry : PeersFile("nvidia_ssd300_resnet50_81").tensors) file.tensors.push_back(entry);
  return file;
}

// torchvision.models' VGGs: a number for each convolution, norm, ReLU and pooling, and three layers
// behind.
std::vector<std::string> VggNames(const std::vector<int>& convolutions, bool norms) {
  std::vector<std::string> names;
  int number = 0;
  for (const int count : convolutions) {
    for (int i = 0; i < count; ++i) {
      for (const char* const kind : {"weight", "bias"}) {
        names.push_back(absl::StrCat("features.", number, ".", kind));
      }
      ++number;
      if (norms) {
        for (const char* const kind : {"weight", "bias", "running_mean", "running_var"}) {
          names.push_back(absl::StrCat("features.", number, ".", kind));
        }
        ++number;
      }
      ++number;
    }
    ++number;
  }
  for (const int layer : {0, 3, 6}) names.push_back(absl::StrCat("classifier.", layer, ".weight"));
  return names;
}

WeightsOptions::Source Found(const WeightFile& file) {
  const absl::StatusOr<const WeightSource*> source =
      FindSource(WeightsOptions::AUTO, file, "weights.pt");
  return source.ok() ? (*source)->id : WeightsOptions::AUTO;
}

const WeightSource& Get(WeightsOptions::Source id) {
  return **FindSource(id, WeightFile(), "weights.pt");
}

TEST(FindSourceTest, TellsSourcesByTheirNames) {
  EXPECT_EQ(Found(PeersFile("torchvision_ssd300_vgg16_91")),
            WeightsOptions::TORCHVISION_SSD300_VGG16);
  EXPECT_EQ(Found(PeersFile("torchvision_ssdlite320_91_reduced_tail")),
            WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE);
  EXPECT_EQ(Found(PeersFile("amdegroot_ssd300_21")), WeightsOptions::AMDEGROOT_SSD300);
  EXPECT_EQ(Found(NvidiasFile()), WeightsOptions::NVIDIA_SSD300_RESNET50);
  for (const char* const depth : {"18", "34", "50", "101"}) {
    WeightFile file;
    for (const auto& entry : golden::File("arch.json")["resnet"][depth]["state_dict"].GetArray()) {
      file.tensors.emplace_back(entry[0].GetString(), at::zeros({1}));
    }
    EXPECT_EQ(Found(file), WeightsOptions::TORCHVISION_RESNET) << depth;
  }
  EXPECT_EQ(Found(FileOf({"features.0.0.weight", "features.1.conv.0.0.weight",
                          "features.18.0.weight", "classifier.1.weight"})),
            WeightsOptions::TORCHVISION_MOBILENET_V2);
  EXPECT_EQ(Found(FileOf({"features.0.0.weight", "features.1.block.0.0.weight",
                          "features.16.0.weight", "classifier.3.bias"})),
            WeightsOptions::TORCHVISION_MOBILENET_V3_LARGE);
  EXPECT_EQ(Found(FileOf({"0.weight", "0.bias", "28.weight", "31.weight", "33.weight"})),
            WeightsOptions::VGG16_REDUCEDFC);
  EXPECT_EQ(Found(FileOf({"conv1_1/0", "conv1_1/1", "fc6/0", "fc7/0"})),
            WeightsOptions::CAFFE_VGG16_REDUCEDFC);
  EXPECT_EQ(Found(FileOf({"conv1_1/0", "fc6/0", "fc7/0", "conv4_3_norm_mbox_loc/0",
                          "conv4_3_norm_mbox_conf/0"})),
            WeightsOptions::CAFFE_SSD300);
  EXPECT_EQ(Found(FileOf({"backbone.conv1.weight", "neck.0.conv1.bias", "head.box_codes.0.bias",
                          "head.class_logits.0.1.bias"})),
            WeightsOptions::OWN);
}

TEST(FindSourceTest, TellsVggsByTheirLayers) {
  EXPECT_EQ(Found(FileOf(VggNames({2, 2, 3, 3, 3}, false))), WeightsOptions::TORCHVISION_VGG16);
  EXPECT_EQ(Found(FileOf(VggNames({2, 2, 3, 3, 3}, true))), WeightsOptions::TORCHVISION_VGG16_BN);
  // vgg11, vgg13 and vgg19, with norms or without.
  const std::vector<std::vector<int>> others = {{1, 1, 2, 2, 2}, {2, 2, 2, 2, 2}, {2, 2, 4, 4, 4}};
  for (const std::vector<int>& stages : others) {
    for (const bool norms : {false, true}) {
      EXPECT_EQ(Found(FileOf(VggNames(stages, norms))), WeightsOptions::AUTO) << stages[2] << norms;
    }
  }
}

TEST(FindSourceTest, ABackboneOfOursHasNothingElse) {
  const WeightFile backbone = FileOf({"backbone.conv1.weight", "backbone.layer1.0.bn1.bias"});
  const auto source = FindSource(WeightsOptions::AUTO, backbone, "own.pt");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->id, WeightsOptions::OWN);
  EXPECT_TRUE((*source)->backbone_only);
  EXPECT_EQ(Found(FileOf({"backbone.body.conv1.weight", "roi_heads.box_head.fc6.weight"})),
            WeightsOptions::AUTO);
  EXPECT_FALSE(Get(WeightsOptions::OWN).backbone_only) << "a detector, for whoever says so";
}

TEST(FindSourceTest, UnknownNamesAreAnErrorThatListsThem) {
  const absl::Status status =
      FindSource(WeightsOptions::AUTO, FileOf({"a", "b", "c", "d"}), "odd.pt").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find("odd.pt: its 4 tensors ('a', 'b', 'c', ...)"), 0u) << status;
  EXPECT_NE(status.message().find("torchvision's ssd300_vgg16"), absl::string_view::npos);
  // Whoever says what it is is believed.
  EXPECT_EQ(Get(WeightsOptions::OWN).id, WeightsOptions::OWN);
}

// Every name of a peer's network has a place here, no two the same, and the way back is the same.
TEST(TranslateTest, EveryNameOfThePeersHasAPlace) {
  const std::vector<std::pair<WeightsOptions::Source, WeightFile>> peers = {
      {WeightsOptions::TORCHVISION_SSD300_VGG16, PeersFile("torchvision_ssd300_vgg16_91")},
      {WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE,
       PeersFile("torchvision_ssdlite320_91_reduced_tail")},
      {WeightsOptions::AMDEGROOT_SSD300, PeersFile("amdegroot_ssd300_21")},
  };
  for (const auto& [id, file] : peers) {
    const WeightSource& source = Get(id);
    const auto tensors = Translate(source, file, "weights.pt");
    ASSERT_TRUE(tensors.ok()) << tensors.status();
    std::set<std::string> names;
    for (const TranslatedTensor& tensor : *tensors) {
      ASSERT_TRUE(tensor.name.has_value()) << tensor.file_name;
      EXPECT_TRUE(names.insert(*tensor.name).second) << *tensor.name;
      EXPECT_EQ(RenameBack(source.rules, *tensor.name), tensor.file_name);
    }
  }
}

TEST(TranslateTest, EveryLayerOfTorchvisionsVggsHasAPlace) {
  for (const auto& [id, norms] :
       std::map<WeightsOptions::Source, bool>{{WeightsOptions::TORCHVISION_VGG16, false},
                                              {WeightsOptions::TORCHVISION_VGG16_BN, true}}) {
    for (const std::string& name : VggNames({2, 2, 3, 3, 3}, norms)) {
      const bool is_feature = absl::StartsWith(name, "features.");
      EXPECT_EQ(Rename(Get(id).rules, name), is_feature ? "backbone." + name : "") << name;
    }
  }
}

// What other networks of ours have, these lack.
TEST(TranslateTest, OtherNetworksHaveNoNamesOfTorchvisions) {
  const std::map<WeightsOptions::Source, std::vector<std::string>> others = {
      {WeightsOptions::TORCHVISION_SSD300_VGG16,
       {"features.1.weight", "features.3.weight", "features.24.running_mean", "features.25.weight",
        "features.44.weight"}},
      {WeightsOptions::TORCHVISION_VGG16,
       {"features.1.weight", "features.31.weight", "features.33.bias", "conv4_3_norm.weight"}},
      {WeightsOptions::TORCHVISION_VGG16_BN,
       {"features.2.weight", "features.44.weight", "features.0.running_mean",
        "conv4_3_norm.weight"}},
      {WeightsOptions::TORCHVISION_RESNET, {"layer5.0.conv1.weight", "features.0.weight"}},
      {WeightsOptions::TORCHVISION_MOBILENET_V2, {"features.19.0.weight"}},
      {WeightsOptions::TORCHVISION_MOBILENET_V3_LARGE, {"features.17.0.weight"}},
      {WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE, {"features.17.0.weight"}},
  };
  for (const auto& [id, names] : others) {
    for (const std::string& name : names) {
      EXPECT_EQ(RenameBack(Get(id).rules, "backbone." + name), std::nullopt) << id << " " << name;
    }
  }
  const std::vector<NameRule>& ssd300 = Get(WeightsOptions::TORCHVISION_SSD300_VGG16).rules;
  const std::vector<NameRule>& ssdlite =
      Get(WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE).rules;
  for (const char* const name : {"neck.0.bn1.weight", "neck.0.0.0.weight",
                                 "head.box_codes.0.1.weight", "head.class_logits.0.0.0.weight"}) {
    EXPECT_EQ(RenameBack(ssd300, name), std::nullopt) << name;
  }
  for (const char* const name :
       {"neck.0.conv1.weight", "head.box_codes.0.weight", "head.class_logits.0.bias"}) {
    EXPECT_EQ(RenameBack(ssdlite, name), std::nullopt) << name;
  }
}

TEST(UnknownInputTextTest, NamesPublishedFiles) {
  const std::string text = UnknownInputText(Get(WeightsOptions::TORCHVISION_VGG16));
  for (const char* const published :
       {"vgg16-397923af.pth on input { channel_order: RGB mean: [123.675, 116.28, 103.53] "
        "std: [58.395, 57.12, 57.375] }",
        "vgg16_features-amdegroot-88682ab5.pth on input { channel_order: RGB "
        "mean: [122.999, 116.999, 103.999] std: [1, 1, 1] }"}) {
    EXPECT_TRUE(absl::StrContains(text, published)) << text;
  }
  EXPECT_FALSE(absl::StrContains(UnknownInputText(Get(WeightsOptions::OWN)), "published"));
}

TEST(TranslateTest, TorchScriptsAnchorsAreLeftOut) {
  for (const WeightsOptions::Source id :
       {WeightsOptions::TORCHVISION_SSD300_VGG16,
        WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE}) {
    EXPECT_EQ(Rename(Get(id).rules, "anchor_generator._wh_pairs.0"), "");
  }
}

TEST(AreAlikeTest, ComparesWhatTheNetworkSees) {
  const TrainedInput caffe = {true, {104, 117, 123}, {1, 1, 1}};
  EXPECT_TRUE(AreAlike(caffe, {true, {103.9, 116.8, 123.7}, {1, 1, 1}}));
  EXPECT_FALSE(AreAlike(caffe, {false, {104, 117, 123}, {1, 1, 1}}));
  EXPECT_FALSE(AreAlike(caffe, {true, {123, 117, 104}, {1, 1, 1}}));
  EXPECT_FALSE(AreAlike(caffe, {true, {104, 117, 123}, {58, 57, 57}}));
  EXPECT_EQ(InputText(caffe), "input { channel_order: BGR mean: [104, 117, 123] std: [1, 1, 1] }");
}

TEST(TranslateTest, SourcesOfOneNetworkAgree) {
  // amdegroot's and torchvision's SSD300 are one network in one order.
  const auto amdegroot =
      Translate(Get(WeightsOptions::AMDEGROOT_SSD300), PeersFile("amdegroot_ssd300_21"), "a.pth");
  const auto torchvision = Translate(Get(WeightsOptions::TORCHVISION_SSD300_VGG16),
                                     PeersFile("torchvision_ssd300_vgg16_91"), "t.pth");
  std::set<std::string> a;
  std::set<std::string> t;
  for (const TranslatedTensor& tensor : *amdegroot) a.insert(*tensor.name);
  for (const TranslatedTensor& tensor : *torchvision) t.insert(*tensor.name);
  EXPECT_EQ(a, t);
  // Caffe's layers (models/VGGNet/VOC0712/SSD_300x300/deploy.prototxt).
  std::set<std::string> c;
  const WeightSource& caffe = Get(WeightsOptions::CAFFE_SSD300);
  for (const char* const layer : {"conv1_1",
                                  "conv1_2",
                                  "conv2_1",
                                  "conv2_2",
                                  "conv3_1",
                                  "conv3_2",
                                  "conv3_3",
                                  "conv4_1",
                                  "conv4_2",
                                  "conv4_3",
                                  "conv5_1",
                                  "conv5_2",
                                  "conv5_3",
                                  "fc6",
                                  "fc7",
                                  "conv6_1",
                                  "conv6_2",
                                  "conv7_1",
                                  "conv7_2",
                                  "conv8_1",
                                  "conv8_2",
                                  "conv9_1",
                                  "conv9_2",
                                  "conv4_3_norm_mbox_loc",
                                  "conv4_3_norm_mbox_conf",
                                  "fc7_mbox_loc",
                                  "fc7_mbox_conf",
                                  "conv6_2_mbox_loc",
                                  "conv6_2_mbox_conf",
                                  "conv7_2_mbox_loc",
                                  "conv7_2_mbox_conf",
                                  "conv8_2_mbox_loc",
                                  "conv8_2_mbox_conf",
                                  "conv9_2_mbox_loc",
                                  "conv9_2_mbox_conf"}) {
    for (const char* const blob : {"/0", "/1"}) {
      c.insert(Rename(caffe.rules, absl::StrCat(layer, blob)).value_or(layer));
    }
  }
  c.insert(Rename(caffe.rules, "conv4_3_norm/0").value_or("conv4_3_norm"));
  EXPECT_EQ(c, t);
}

TEST(TranslateTest, NvidiasHeadIsReordered) {
  // Level 0 of 4 anchors: channel v * 4 + a holds value v of anchor a. Here it goes to a * n + v.
  WeightFile file = NvidiasFile();
  for (auto& [name, tensor] : file.tensors) {
    if (name == "loc.0.bias") tensor = at::arange(16, at::kFloat);
    if (name == "conf.0.bias") tensor = at::arange(324, at::kFloat);
    if (name == "loc.0.weight") {
      tensor = at::arange(16, at::kFloat).view({16, 1, 1, 1}).expand({16, 2, 3, 3});
    }
    if (name == "conf.0.weight") {
      tensor = at::arange(324, at::kFloat).view({324, 1, 1, 1}).expand({324, 2, 3, 3});
    }
  }
  const auto tensors = Translate(Get(WeightsOptions::NVIDIA_SSD300_RESNET50), file, "nvidia.pt");
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  int found = 0;
  for (const TranslatedTensor& tensor : *tensors) {
    ASSERT_TRUE(tensor.name.has_value()) << tensor.file_name;
    const bool codes = absl::StartsWith(*tensor.name, "head.box_codes.0.");
    if (!codes && !absl::StartsWith(*tensor.name, "head.class_logits.0.")) continue;
    ++found;
    const int64_t values = codes ? 4 : 81;
    ASSERT_EQ(tensor.tensor.size(0), 4 * values);
    const Tensor first = tensor.tensor.reshape({4 * values, -1}).select(1, 0);
    for (int64_t anchor = 0; anchor < 4; ++anchor) {
      for (int64_t value = 0; value < values; ++value) {
        EXPECT_EQ(first[anchor * values + value].item<float>(),
                  static_cast<float>(value * 4 + anchor));
      }
    }
    if (tensor.tensor.dim() == 4) {
      EXPECT_EQ(tensor.tensor.sizes().slice(1), at::IntArrayRef({2, 3, 3}));
    }
  }
  EXPECT_EQ(found, 4);

  for (auto& [name, tensor] : file.tensors) {
    if (name == "conf.0.bias") tensor = at::zeros({323});
  }
  const absl::Status status =
      Translate(Get(WeightsOptions::NVIDIA_SSD300_RESNET50), file, "nvidia.pt").status();
  EXPECT_EQ(status.message(),
            "nvidia.pt: as NVIDIA's SSD300: the channels of 'conf.0.bias' belong to no whole "
            "anchors");
}

TEST(TranslateTest, CaffesBiasesLoseTheirEmptyDimensions) {
  WeightFile file;
  file.tensors.emplace_back("conv1_1/0", at::zeros({64, 3, 3, 3}));
  file.tensors.emplace_back("conv1_1/1", at::zeros({1, 1, 1, 64}));
  const auto tensors =
      Translate(Get(WeightsOptions::CAFFE_VGG16_REDUCEDFC), file, "vgg.caffemodel");
  EXPECT_EQ(*(*tensors)[0].name, "backbone.features.0.weight");
  EXPECT_EQ((*tensors)[0].tensor.sizes(), at::IntArrayRef({64, 3, 3, 3}));
  EXPECT_EQ(*(*tensors)[1].name, "backbone.features.0.bias");
  EXPECT_EQ((*tensors)[1].tensor.sizes(), at::IntArrayRef({64}));
}

TEST(PublishedClassesTest, AreWhereTheNetworksHaveThem) {
  EXPECT_TRUE(PublishedClasses(4).empty());
  const std::vector<std::string> voc = PublishedClasses(21);
  ASSERT_EQ(voc.size(), 21u);
  EXPECT_EQ(voc[15], "person");
  const std::vector<std::string> coco = PublishedClasses(81);
  const std::vector<std::string> by_id = PublishedClasses(91);
  ASSERT_EQ(coco.size(), 81u);
  ASSERT_EQ(by_id.size(), 91u);
  EXPECT_EQ(coco[1], "person");
  EXPECT_EQ(coco[80], "toothbrush");
  EXPECT_EQ(by_id[90], "toothbrush");
  EXPECT_EQ(by_id[13], "stop sign");
  EXPECT_EQ(by_id[12], "");
  EXPECT_EQ(coco[12], "stop sign");
  // Without the holes they are the same.
  std::vector<std::string> dense = {""};
  for (const std::string& name : by_id) {
    if (!name.empty()) dense.push_back(name);
  }
  EXPECT_EQ(dense, coco);
}

}  // namespace
}  // namespace ssd
