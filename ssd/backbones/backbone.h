#ifndef SSD_BACKBONES_BACKBONE_H_
#define SSD_BACKBONES_BACKBONE_H_

#include <torch/nn/module.h>

#include <vector>

#include "ssd/backbones/backbone.pb.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"

namespace ssd {

struct BackboneContext {
  ImageSize input;  // of the images it is trained on; 0x0: not known
};

// A network that turns normalised images into feature maps, fine to coarse. Does not normalise, and
// does not decide how many maps predict boxes: that is the neck's job.
class Backbone : public torch::nn::Module {
 public:
  // images: [B, 3, H, W] floating point, normalised. Returns one [B, c_k, h_k, w_k] for each spec
  // of OutputSpecs({H, W}).
  virtual std::vector<Tensor> Forward(const Tensor& images) = 0;

  // What Forward yields for images of the given size, without running it.
  virtual std::vector<FeatureSpec> OutputSpecs(ImageSize size) const = 0;
};

using BackboneRegistry = Registry<Backbone, BackboneContext>;

}  // namespace ssd

#define SSD_REGISTER_BACKBONE(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Backbone, ::ssd::BackboneContext, Options, Component)

#endif  // SSD_BACKBONES_BACKBONE_H_
