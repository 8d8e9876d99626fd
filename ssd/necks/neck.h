#ifndef SSD_NECKS_NECK_H_
#define SSD_NECKS_NECK_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"
#include "ssd/necks/neck.pb.h"

namespace ssd {

struct NeckContext {
  std::vector<FeatureSpec> inputs;  // what the backbone yields
  int64_t num_levels = 0;           // how many maps to yield; > 0
};

// Layers that bring the backbone's feature maps to the num_levels maps that predict boxes, fine to
// coarse. With fewer levels than the backbone yields, the first num_levels are kept.
class Neck : public torch::nn::Module {
 public:
  // features: the backbone's maps. Returns num_levels maps.
  virtual std::vector<Tensor> Forward(std::vector<Tensor> features) = 0;

  // What Forward yields for the given inputs, without running it.
  virtual std::vector<FeatureSpec> OutputSpecs(absl::Span<const FeatureSpec> inputs) const = 0;
};

// Create returns InvalidArgument when a map would have no cells left.
using NeckRegistry = Registry<Neck, NeckContext>;

}  // namespace ssd

#define SSD_REGISTER_NECK(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Neck, ::ssd::NeckContext, Options, Component)

#endif  // SSD_NECKS_NECK_H_
