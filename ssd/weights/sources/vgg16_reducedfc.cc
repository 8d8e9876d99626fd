#include "ssd/weights/sources/tables.h"

namespace ssd {

// vgg16_reducedfc.pth, from which amdegroot's and others' SSDs start: the layers of ssd.py's vgg()
// as a list. It was made of Caffe's file; those projects feed it RGB all the same.
WeightSource Vgg16Reducedfc() {
  WeightSource source;
  source.id = WeightsOptions::VGG16_REDUCEDFC;
  source.description = "vgg16_reducedfc.pth";
  source.signature = {"0.weight", "28.weight", "31.weight", "33.weight"};
  source.rules = {{"#.*", "backbone.features.#.*"}};
  source.backbone_only = true;
  source.may_be_missing = {"backbone.conv4_3_norm.weight"};
  source.input = TrainedInput{false, {123, 117, 104}, {1, 1, 1}};
  return source;
}

}  // namespace ssd
