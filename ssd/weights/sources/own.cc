#include "ssd/weights/sources/tables.h"

namespace ssd {

// This program's own names.
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

}  // namespace ssd
