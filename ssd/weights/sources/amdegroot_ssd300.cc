#include "absl/strings/str_cat.h"
#include "ssd/weights/sources/tables.h"

namespace ssd {

// github.com/amdegroot/ssd.pytorch, ssd.py: vgg.N has torchvision's numbers, extras the extra
// layers' convolutions one by one.
WeightSource AmdegrootSsd300() {
  WeightSource source;
  source.id = WeightsOptions::AMDEGROOT_SSD300;
  source.description = "amdegroot's ssd300";
  source.signature = {"vgg.0.weight", "L2Norm.weight", "extras.0.weight", "loc.0.weight",
                      "conf.0.weight"};
  source.rules = {
      {"vgg.#.*", "backbone.features.#.*"},
      {"L2Norm.weight", "backbone.conv4_3_norm.weight"},
      {"loc.#.*", "head.box_codes.#.*"},
      {"conf.#.*", "head.class_logits.#.*"},
  };
  constexpr int kExtras = 4;
  for (int i = 0; i < kExtras; ++i) {
    source.rules.push_back(
        {absl::StrCat("extras.", 2 * i, ".*"), absl::StrCat("neck.", i, ".conv1.*")});
    source.rules.push_back(
        {absl::StrCat("extras.", 2 * i + 1, ".*"), absl::StrCat("neck.", i, ".conv2.*")});
  }
  // BaseTransform subtracts the means from BGR, then the channels are turned round.
  source.input = TrainedInput{false, {123, 117, 104}, {1, 1, 1}};
  return source;
}

}  // namespace ssd
