// The published SSDs, built of this program's parts: each of their tensors has one here, of the
// same shape, and none is left over. The mappings are written apart from the tables that read their
// weights (ssd/weights/sources).

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ssd/backbones/backbone.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model.pb.h"
#include "ssd/model/multibox_head.h"
#include "ssd/necks/neck.h"
#include "tests/golden/golden.h"

namespace ssd {
namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

struct Network {
  std::vector<FeatureSpec> levels;
  int64_t parameters = 0;
  Shapes state;  // parameters and buffers under backbone., neck. and head.
};

Network Build(const std::string& text, const std::vector<int64_t>& anchors_per_cell,
              int64_t num_classes, ImageSize size) {
  ModelConfig config;
  const absl::Status parsed = ParseTextProto(text, "test", config);
  EXPECT_TRUE(parsed.ok()) << parsed;
  auto backbone = BackboneRegistry::Get().Create(config.backbone(), {});
  EXPECT_TRUE(backbone.ok()) << backbone.status();
  const std::vector<FeatureSpec> features = (*backbone)->OutputSpecs(size);
  auto neck = NeckRegistry::Get().Create(config.neck(),
                                         {features, static_cast<int64_t>(anchors_per_cell.size())});
  EXPECT_TRUE(neck.ok()) << neck.status();
  Network network;
  network.levels = (*neck)->OutputSpecs(features);
  const MultiboxHead head(network.levels, anchors_per_cell, num_classes, config.head());
  const std::pair<std::string, const torch::nn::Module*> modules[] = {
      {"backbone.", backbone->get()}, {"neck.", neck->get()}, {"head.", &head}};
  for (const auto& [prefix, module] : modules) {
    for (const auto& parameter : module->named_parameters()) {
      network.parameters += parameter.value().numel();
      network.state[prefix + parameter.key()] = parameter.value().sizes().vec();
    }
    for (const auto& buffer : module->named_buffers()) {
      network.state[prefix + buffer.key()] = buffer.value().sizes().vec();
    }
  }
  return network;
}

std::vector<std::string> Split(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// The parts from `first` on, each after a dot.
std::string Rest(const std::vector<std::string>& parts, size_t first) {
  std::string rest;
  for (size_t i = first; i < parts.size(); ++i) rest += "." + parts[i];
  return rest;
}

// The head's names are alike in all of torchvision's.
std::string TorchvisionHead(const std::vector<std::string>& parts) {
  return (parts[1] == "classification_head" ? "head.class_logits." : "head.box_codes.") + parts[3] +
         Rest(parts, 4);
}

// torchvision's ssd300_vgg16.
std::string FromTorchvisionVgg(const std::string& name) {
  const std::vector<std::string> parts = Split(name);
  if (parts[0] == "head") return TorchvisionHead(parts);
  if (name == "backbone.scale_weight") return "backbone.conv4_3_norm.weight";
  if (parts[1] == "features") return name;
  const int level = std::stoi(parts[2]);
  const int layer = std::stoi(parts[3]);
  if (level == 0 && layer == 7) {  // fc6, fc7
    return "backbone.features." + std::to_string(30 + std::stoi(parts[4])) + Rest(parts, 5);
  }
  if (level == 0) return "backbone.features." + std::to_string(23 + layer) + Rest(parts, 4);
  return "neck." + std::to_string(level - 1) + ".conv" + std::to_string(layer / 2 + 1) +
         Rest(parts, 4);
}

// amdegroot's SSD300.
std::string FromAmdegroot(const std::string& name) {
  const std::vector<std::string> parts = Split(name);
  if (parts[0] == "vgg") return "backbone.features" + Rest(parts, 1);
  if (parts[0] == "L2Norm") return "backbone.conv4_3_norm.weight";
  if (parts[0] == "loc") return "head.box_codes" + Rest(parts, 1);
  if (parts[0] == "conf") return "head.class_logits" + Rest(parts, 1);
  const int layer = std::stoi(parts[1]);
  return "neck." + std::to_string(layer / 2) + ".conv" + std::to_string(layer % 2 + 1) +
         Rest(parts, 2);
}

// torchvision's ssdlite320_mobilenet_v3_large, which cuts the backbone in two behind the expansion
// of features.13.
std::string FromTorchvisionSsdlite(const std::string& name) {
  const std::vector<std::string> parts = Split(name);
  if (parts[0] == "head") return TorchvisionHead(parts);
  if (parts[1] == "extra") return "neck" + Rest(parts, 2);
  const int layer = std::stoi(parts[3]);
  if (parts[2] == "0") {
    return layer == 13 ? "backbone.features.13.block.0" + Rest(parts, 4)
                       : "backbone.features" + Rest(parts, 3);
  }
  return layer == 0 ? "backbone.features.13.block" + Rest(parts, 4)
                    : "backbone.features." + std::to_string(13 + layer) + Rest(parts, 4);
}

template <typename Mapping>
void ExpectOneToOne(const rapidjson::Value& peer, const Network& network, Mapping mapping) {
  Shapes expected;
  for (const auto& entry : peer["state_dict"].GetArray()) {
    const std::string name = mapping(entry[0].GetString());
    EXPECT_EQ(expected.count(name), 0u) << name << " from " << entry[0].GetString();
    std::vector<int64_t>& shape = expected[name];
    for (const auto& size : entry[1].GetArray()) shape.push_back(size.GetInt64());
  }
  EXPECT_EQ(network.state, expected);
  EXPECT_EQ(network.parameters, peer["params"].GetInt64());
}

void ExpectMaps(const char* key, const std::vector<FeatureSpec>& levels) {
  std::vector<std::vector<int64_t>> expected;
  for (const auto& map : golden::File("arch.json")[key].GetArray()) {
    expected.push_back({map[0].GetInt64(), map[1].GetInt64(), map[2].GetInt64()});
  }
  std::vector<std::vector<int64_t>> actual;
  for (const FeatureSpec& level : levels) {
    actual.push_back({level.channels, level.height, level.width});
  }
  EXPECT_EQ(actual, expected) << key;
}

const std::vector<int64_t>& Ssd300Anchors() {
  static const auto* const anchors = new std::vector<int64_t>{4, 6, 6, 6, 4, 4};
  return *anchors;
}

TEST(PeerNetworksTest, TorchvisionsSsd300Vgg16) {
  const char* const text = "backbone { vgg16 {} } neck { ssd_extras {} }";
  const Network coco = Build(text, Ssd300Anchors(), 90, {300, 300});
  ExpectOneToOne(golden::File("arch.json")["torchvision_ssd300_vgg16_91"], coco,
                 FromTorchvisionVgg);
  ExpectMaps("torchvision_ssd300_feature_maps", coco.levels);
  EXPECT_EQ(Build(text, Ssd300Anchors(), 20, {300, 300}).parameters,
            golden::File("arch.json")["torchvision_ssd300_vgg16_21"]["params"].GetInt64());
}

TEST(PeerNetworksTest, AmdegrootsSsd300) {
  ExpectOneToOne(
      golden::File("arch.json")["amdegroot_ssd300_21"],
      Build("backbone { vgg16 {} } neck { ssd_extras {} }", Ssd300Anchors(), 20, {300, 300}),
      FromAmdegroot);
}

TEST(PeerNetworksTest, TorchvisionsVggFor512Pixels) {
  const Network network = Build(
      "backbone { vgg16 {} } neck { ssd_extras { window {} window {}"
      "  window { stride: 1 padding: 0 } window { stride: 1 padding: 0 }"
      "  window { kernel: 4 stride: 1 padding: 0 } } }",
      {4, 6, 6, 6, 6, 4, 4}, 20, {512, 512});
  ExpectMaps("torchvision_vgg_highres_512_feature_maps", network.levels);
}

TEST(PeerNetworksTest, TorchvisionsSsdlite320) {
  const Network network = Build(
      "backbone { mobilenet_v3_large {} } neck { ssdlite_extras {} } head { separable: true }",
      {6, 6, 6, 6, 6, 6}, 90, {320, 320});
  ExpectOneToOne(golden::File("arch.json")["torchvision_ssdlite320_91_reduced_tail"], network,
                 FromTorchvisionSsdlite);
  ExpectMaps("torchvision_ssdlite320_feature_maps", network.levels);
}

}  // namespace
}  // namespace ssd
