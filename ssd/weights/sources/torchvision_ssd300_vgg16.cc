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
      {"backbone.extra.0.1.*", "backbone.features.24.*"},
      {"backbone.extra.0.3.*", "backbone.features.26.*"},
      {"backbone.extra.0.5.*", "backbone.features.28.*"},
      {"backbone.extra.0.7.1.*", "backbone.features.31.*"},
      {"backbone.extra.0.7.3.*", "backbone.features.33.*"},
      {"backbone.features.#.*", "backbone.features.#.*"},
      {"head.regression_head.module_list.#.*", "head.box_codes.#.*"},
      {"head.classification_head.module_list.#.*", "head.class_logits.#.*"},
      {"anchor_generator.*", ""},  // of TorchScript archives
  };
  constexpr int kMostExtras = 5;  // of the variant for 512 pixels
  for (int i = 0; i < kMostExtras; ++i) {
    source.rules.push_back(
        {absl::StrCat("backbone.extra.", i + 1, ".0.*"), absl::StrCat("neck.", i, ".conv1.*")});
    source.rules.push_back(
        {absl::StrCat("backbone.extra.", i + 1, ".2.*"), absl::StrCat("neck.", i, ".conv2.*")});
  }
  // image_mean and image_std, of values 0 to 1, in ssd300_vgg16().
  source.input = TrainedInput{false, {0.48235 * 255, 0.45882 * 255, 0.40784 * 255}, {1, 1, 1}};
  return source;
}

}  // namespace ssd
