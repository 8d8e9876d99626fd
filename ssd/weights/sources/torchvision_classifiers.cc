#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

// torchvision.models: the classifiers whose layers the backbones are named after. What comes behind
// the convolutions is left out.
namespace ssd {
namespace {

// Everything of a layer; its name is the backbone's.
NameRule LayerRule(const std::string& layer) {
  return {absl::StrCat(layer, ".*"), absl::StrCat("backbone.", layer, ".*")};
}

// features.0 to features.LAST.
std::vector<NameRule> FeatureRules(int last) {
  std::vector<NameRule> rules;
  for (int i = 0; i <= last; ++i) rules.push_back(LayerRule(absl::StrCat("features.", i)));
  rules.push_back({"classifier.*", ""});
  return rules;
}

// What SSD has beside a classifier's VGG: L2 normalisation, and fc6 and fc7 with these numbers.
std::vector<std::string> MissingOfVgg(const std::vector<int>& layers) {
  std::vector<std::string> patterns = {"backbone.conv4_3_norm.weight"};
  for (const int layer : layers) {
    patterns.push_back(absl::StrCat("backbone.features.", layer, ".*"));
  }
  return patterns;
}

}  // namespace

WeightSource TorchvisionResnet() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_RESNET;
  source.description = "torchvision's ResNets";
  source.signature = {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight",
                      "layer3.0.downsample.0.weight"};
  source.rules = {
      LayerRule("conv1"),  LayerRule("bn1"),    LayerRule("layer1"), LayerRule("layer2"),
      LayerRule("layer3"), LayerRule("layer4"), {"fc.*", ""},
  };
  source.backbone_only = true;
  // resnet { form: CONV4_STRIDE_1 } ends before it.
  source.may_be_unused = {"backbone.layer4.*"};
  source.input = ImageNetInput();
  return source;
}

// Numbers of ReLUs and poolings are left out.
WeightSource TorchvisionVgg16() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_VGG16;
  source.description = "torchvision's vgg16";
  source.signature = {"features.0.weight", "features.24.weight", "features.26.weight",
                      "features.28.weight"};
  for (const int layer : {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28}) {
    const std::string name = absl::StrCat("features.", layer);
    AddConvolution(name, absl::StrCat("backbone.", name), source.rules);
  }
  source.rules.push_back({"classifier.*", ""});
  source.backbone_only = true;
  source.may_be_missing = MissingOfVgg({31, 33});
  // The second was made of Caffe's, and is what torchvision's SSD300 starts from.
  source.published_inputs = {{"vgg16-397923af.pth", ImageNetInput()},
                             {"vgg16_features-amdegroot-88682ab5.pth", TorchvisionSsd300Input()}};
  return source;
}

// Every convolution is followed by its norm.
WeightSource TorchvisionVgg16Bn() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_VGG16_BN;
  source.description = "torchvision's vgg16_bn";
  source.signature = {"features.0.weight", "features.38.running_mean", "features.41.running_mean"};
  for (const int layer : {0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40}) {
    const std::string name = absl::StrCat("features.", layer);
    AddConvolution(name, absl::StrCat("backbone.", name), source.rules);
    source.rules.push_back(LayerRule(absl::StrCat("features.", layer + 1)));
  }
  source.rules.push_back({"classifier.*", ""});
  source.backbone_only = true;
  source.may_be_missing = MissingOfVgg({44, 45, 47, 48});
  source.input = ImageNetInput();
  return source;
}

WeightSource TorchvisionMobilenetV2() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_MOBILENET_V2;
  source.description = "torchvision's mobilenet_v2";
  source.signature = {"features.0.0.weight", "features.1.conv.0.0.weight", "features.18.0.weight"};
  source.rules = FeatureRules(18);
  source.backbone_only = true;
  source.input = ImageNetInput();
  return source;
}

WeightSource TorchvisionMobilenetV3Large() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_MOBILENET_V3_LARGE;
  source.description = "torchvision's mobilenet_v3_large";
  source.signature = {"features.0.0.weight", "features.1.block.0.0.weight", "features.16.0.weight"};
  source.rules = FeatureRules(16);
  source.backbone_only = true;
  source.input = ImageNetInput();
  return source;
}

}  // namespace ssd
