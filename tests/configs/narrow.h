#ifndef TESTS_CONFIGS_NARROW_H_
#define TESTS_CONFIGS_NARROW_H_

#include <algorithm>

#include "ssd/model/model.pb.h"

namespace ssd {

// The same network with few channels, so that it is made and takes a step in a moment.
inline ModelConfig Narrow(const ModelConfig& model) {
  ModelConfig narrow = model;
  BackboneConfig& backbone = *narrow.mutable_backbone();
  if (backbone.has_resnet()) {
    backbone.mutable_resnet()->set_width(std::min(backbone.resnet().width(), 16));
  } else if (backbone.has_vgg16()) {
    backbone.mutable_vgg16()->set_width(8);
  } else if (backbone.has_mobilenet_v2()) {
    backbone.mutable_mobilenet_v2()->set_width_multiplier(0.25);
  } else if (backbone.has_mobilenet_v3_large()) {
    backbone.mutable_mobilenet_v3_large()->set_width_multiplier(0.25);
  }
  return narrow;
}

}  // namespace ssd

#endif  // TESTS_CONFIGS_NARROW_H_
