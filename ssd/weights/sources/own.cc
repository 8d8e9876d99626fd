#include "ssd/weights/sources/tables.h"

namespace ssd {

// This program's own names: of best.pt, last.pt and converted detectors.
WeightSource OwnSource() {
  WeightSource source;
  source.id = WeightsOptions::OWN;
  source.description = "this program's detectors";
  source.signature = {"backbone.*", "head.box_codes.#.*", "head.class_logits.#.*"};
  source.rules = {
      {"backbone.*", "backbone.*"},
      {"neck.*", "neck.*"},
      {"head.*", "head.*"},
  };
  return source;
}

// A backbone alone, as convert_weights --names=own makes it of a classifier.
WeightSource OwnBackbone() {
  WeightSource source;
  source.id = WeightsOptions::OWN;
  source.description = "this program's backbones";
  source.signature = {"backbone.*"};
  source.has_all_names = true;
  source.rules = {{"backbone.*", "backbone.*"}};
  source.backbone_only = true;
  // It lacks, and has beside, what the classifier's own file does.
  for (const WeightSource& classifier :
       {TorchvisionResnet(), TorchvisionVgg16(), TorchvisionVgg16Bn()}) {
    source.may_be_missing.insert(source.may_be_missing.end(), classifier.may_be_missing.begin(),
                                 classifier.may_be_missing.end());
    source.may_be_unused.insert(source.may_be_unused.end(), classifier.may_be_unused.begin(),
                                classifier.may_be_unused.end());
  }
  return source;
}

}  // namespace ssd
