#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {
namespace {

// Caffe's convolutions of VGG-16 with reduced fully connected layers, and the detector's.
std::vector<std::pair<std::string, std::string>> VggLayers() {
  std::vector<std::pair<std::string, std::string>> layers;
  constexpr int kConvolutions[] = {2, 2, 3, 3, 3};
  int number = 0;  // torchvision counts ReLUs and poolings too
  for (int stage = 1; stage <= 5; ++stage) {
    for (int i = 1; i <= kConvolutions[stage - 1]; ++i) {
      layers.emplace_back(absl::StrCat("conv", stage, "_", i),
                          absl::StrCat("backbone.features.", number));
      number += 2;
    }
    ++number;
  }
  layers.emplace_back("fc6", absl::StrCat("backbone.features.", number));
  layers.emplace_back("fc7", absl::StrCat("backbone.features.", number + 2));
  return layers;
}

// Blob 0 of a layer is its weight, blob 1 its bias.
void AddRules(const std::vector<std::pair<std::string, std::string>>& layers,
              std::vector<NameRule>& rules) {
  for (const auto& [caffe, own] : layers) {
    rules.push_back({absl::StrCat(caffe, "/0"), absl::StrCat(own, ".weight")});
    rules.push_back({absl::StrCat(caffe, "/1"), absl::StrCat(own, ".bias")});
  }
}

// Biases, and the factors of conv4_3_norm, have one dimension here, and up to four in Caffe.
absl::Status FlattenBiases(std::vector<TranslatedTensor>& tensors) {
  for (TranslatedTensor& entry : tensors) {
    if (entry.tensor.dim() > 1 && entry.tensor.numel() == entry.tensor.size(-1)) {
      entry.tensor = entry.tensor.flatten();
    }
  }
  return absl::OkStatus();
}

// Of models/VGGNet/*/SSD_300x300/train.prototxt (transform_param).
TrainedInput CaffeInput() { return {true, {104, 117, 123}, {1, 1, 1}}; }

}  // namespace

// github.com/weiliu89/caffe (branch ssd), models/VGGNet: SSD300 and SSD512. Labels, anchors and box
// codes are in the order that everyone else took over.
WeightSource CaffeSsd300() {
  WeightSource source;
  source.id = WeightsOptions::CAFFE_SSD300;
  source.description = "Caffe's SSD";
  source.signature = {"conv1_1/0", "fc7/0", "conv4_3_norm_mbox_loc/0", "conv4_3_norm_mbox_conf/0"};
  std::vector<std::pair<std::string, std::string>> layers = VggLayers();
  std::vector<std::string> levels = {"conv4_3_norm", "fc7"};
  constexpr int kMostExtras = 5;  // SSD512's
  for (int i = 0; i < kMostExtras; ++i) {
    const std::string caffe = absl::StrCat("conv", i + 6);
    layers.emplace_back(absl::StrCat(caffe, "_1"), absl::StrCat("neck.", i, ".conv1"));
    layers.emplace_back(absl::StrCat(caffe, "_2"), absl::StrCat("neck.", i, ".conv2"));
    levels.push_back(absl::StrCat(caffe, "_2"));
  }
  for (size_t i = 0; i < levels.size(); ++i) {
    layers.emplace_back(absl::StrCat(levels[i], "_mbox_loc"), absl::StrCat("head.box_codes.", i));
    layers.emplace_back(absl::StrCat(levels[i], "_mbox_conf"),
                        absl::StrCat("head.class_logits.", i));
  }
  source.rules = {{"conv4_3_norm/0", "backbone.conv4_3_norm.weight"}};
  AddRules(layers, source.rules);
  source.input = CaffeInput();
  source.change_layout = &FlattenBiases;
  return source;
}

// VGG_ILSVRC_16_layers_fc_reduced.caffemodel: what Caffe's SSD starts from.
WeightSource CaffeVgg16Reducedfc() {
  WeightSource source;
  source.id = WeightsOptions::CAFFE_VGG16_REDUCEDFC;
  source.description = "Caffe's VGG-16 with reduced fully connected layers";
  source.signature = {"conv1_1/0", "fc6/0", "fc7/0"};
  AddRules(VggLayers(), source.rules);
  source.rules.push_back({"fc8/#", ""});
  source.backbone_only = true;
  source.may_be_missing = {"backbone.conv4_3_norm.weight"};
  source.input = CaffeInput();
  source.change_layout = &FlattenBiases;
  return source;
}

}  // namespace ssd
