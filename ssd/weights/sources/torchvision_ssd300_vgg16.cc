#include <string>

#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {

// torchvision/models/detection/ssd.py: conv1_1 to conv4_3 are backbone.features, with the numbers
// of models.vgg16; conv5 and the fully connected layers backbone.extra.0, with numbers of their own
// that begin at the pooling; every further extra an extra layer.
WeightSource TorchvisionSsd300Vgg16() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_SSD300_VGG16;
  source.description = "torchvision's ssd300_vgg16";
  source.signature = {"backbone.scale_weight", "backbone.features.0.weight",
                      "backbone.extra.0.7.1.weight",
                      "head.classification_head.module_list.0.weight"};
  source.rules = {
      {"backbone.scale_weight", "backbone.conv4_3_norm.weight"},
      {"anchor_generator.*", ""},  // of TorchScript archives
  };
  for (const int layer : {0, 2, 5, 7, 10, 12, 14, 17, 19, 21}) {
    const std::string name = absl::StrCat("backbone.features.", layer);
    AddConvolution(name, name, source.rules);
  }
  AddConvolution("backbone.extra.0.1", "backbone.features.24", source.rules);
  AddConvolution("backbone.extra.0.3", "backbone.features.26", source.rules);
  AddConvolution("backbone.extra.0.5", "backbone.features.28", source.rules);
  AddConvolution("backbone.extra.0.7.1", "backbone.features.31", source.rules);
  AddConvolution("backbone.extra.0.7.3", "backbone.features.33", source.rules);
  constexpr int kMostExtras = 5;  // of the variant for 512 pixels
  for (int i = 0; i < kMostExtras; ++i) {
    const std::string extra = absl::StrCat("backbone.extra.", i + 1);
    AddConvolution(absl::StrCat(extra, ".0"), absl::StrCat("neck.", i, ".conv1"), source.rules);
    AddConvolution(absl::StrCat(extra, ".2"), absl::StrCat("neck.", i, ".conv2"), source.rules);
  }
  AddConvolution("head.regression_head.module_list.#", "head.box_codes.#", source.rules);
  AddConvolution("head.classification_head.module_list.#", "head.class_logits.#", source.rules);
  source.input = TorchvisionSsd300Input();
  return source;
}

}  // namespace ssd
