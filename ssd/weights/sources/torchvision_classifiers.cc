#include "ssd/weights/sources/tables.h"

// torchvision.models: the classifiers whose layers the backbones are named after. What comes behind
// the convolutions is left out.
namespace ssd {

WeightSource TorchvisionResnet() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_RESNET;
  source.description = "torchvision's ResNets";
  source.signature = {"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight",
                      "layer3.0.downsample.0.weight"};
  source.rules = {
      {"conv1.*", "backbone.conv1.*"},
      {"bn1.*", "backbone.bn1.*"},
      {"layer#.*", "backbone.layer#.*"},
      {"fc.*", ""},
  };
  source.backbone_only = true;
  // resnet { form: CONV4_STRIDE_1 } ends before it.
  source.may_be_unused = {"backbone.layer4.*"};
  source.input = ImageNetInput();
  return source;
}

WeightSource TorchvisionVgg16() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_VGG16;
  source.description = "torchvision's vgg16";
  source.signature = {"features.0.weight", "features.28.weight"};
  source.rules = {
      {"features.#.*", "backbone.features.#.*"},
      {"classifier.*", ""},
  };
  source.backbone_only = true;
  // fc6 and fc7 (31 and 33; behind vgg16_bn's layers 44 and 47, and their norms).
  source.may_be_missing = {"backbone.conv4_3_norm.weight"};
  for (const char* const layer : {"31", "33", "44", "45", "47", "48"}) {
    source.may_be_missing.push_back(std::string("backbone.features.") + layer + ".*");
  }
  return source;
}

WeightSource TorchvisionMobilenetV2() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_MOBILENET_V2;
  source.description = "torchvision's mobilenet_v2";
  source.signature = {"features.0.0.weight", "features.1.conv.0.0.weight", "features.18.0.weight"};
  source.rules = {
      {"features.#.*", "backbone.features.#.*"},
      {"classifier.*", ""},
  };
  source.backbone_only = true;
  source.input = ImageNetInput();
  return source;
}

WeightSource TorchvisionMobilenetV3Large() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_MOBILENET_V3_LARGE;
  source.description = "torchvision's mobilenet_v3_large";
  source.signature = {"features.0.0.weight", "features.1.block.0.0.weight", "features.16.0.weight"};
  source.rules = {
      {"features.#.*", "backbone.features.#.*"},
      {"classifier.*", ""},
  };
  source.backbone_only = true;
  source.input = ImageNetInput();
  return source;
}

}  // namespace ssd
