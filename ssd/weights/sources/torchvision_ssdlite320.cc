#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {

// torchvision/models/detection/ssdlite.py: the layers of models.mobilenet_v3_large in two parts,
// backbone.features.0 up to C4, which is the expansion of features.13, and backbone.features.1,
// which begins with the rest of that block.
WeightSource TorchvisionSsdlite320() {
  WeightSource source;
  source.id = WeightsOptions::TORCHVISION_SSDLITE320_MOBILENET_V3_LARGE;
  source.description = "torchvision's ssdlite320_mobilenet_v3_large";
  source.signature = {"backbone.features.0.0.0.weight", "backbone.features.1.3.0.weight",
                      "head.classification_head.module_list.0.0.0.weight"};
  source.rules = {
      {"backbone.features.0.13.*", "backbone.features.13.block.0.*"},
      {"backbone.features.1.0.#.*", "backbone.features.13.block.#.*"},
      {"backbone.features.1.1.*", "backbone.features.14.*"},
      {"backbone.features.1.2.*", "backbone.features.15.*"},
      {"backbone.features.1.3.*", "backbone.features.16.*"},
      {"backbone.extra.#.#.#.*", "neck.#.#.#.*"},
      // The depthwise convolution and its norm.
      {"head.regression_head.module_list.#.0.#.*", "head.box_codes.#.0.#.*"},
      {"head.classification_head.module_list.#.0.#.*", "head.class_logits.#.0.#.*"},
      {"anchor_generator.*", ""},  // of TorchScript archives
  };
  constexpr int kUndivided = 13;  // blocks that are whole in the first part, the stem included
  for (int i = 0; i < kUndivided; ++i) {
    source.rules.push_back({absl::StrCat("backbone.features.0.", i, ".*"),
                            absl::StrCat("backbone.features.", i, ".*")});
  }
  AddConvolution("head.regression_head.module_list.#.1", "head.box_codes.#.1", source.rules);
  AddConvolution("head.classification_head.module_list.#.1", "head.class_logits.#.1", source.rules);
  // image_mean and image_std of 0.5 in ssdlite320_mobilenet_v3_large().
  source.input = TrainedInput{false, {127.5, 127.5, 127.5}, {127.5, 127.5, 127.5}};
  return source;
}

}  // namespace ssd
