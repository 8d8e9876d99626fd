#ifndef DATA_TRANSFORMS_TRANSFORM_H_
#define DATA_TRANSFORMS_TRANSFORM_H_

#include <google/protobuf/repeated_field.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "ssd/core/random.h"
#include "ssd/core/registry.h"

namespace ssd {

struct TransformContext {
  ImageSize input;      // model.input's size
  double fill[3] = {};  // RGB 0-255: the mean colour, for what lies outside an image
};

// One step of a sample's way to the network. Changes image, geometry and truth together; drops
// truths that the view no longer shows. Stateless: all chance comes from `random`. Geometry is
// changed by the functions of sample_view.h, colours by LazyImage::Recolor. Create's errors name
// fields from the kind on ("expand.max_ratio: 0.5 ..."); the caller puts list and place before it.
class Transform {
 public:
  virtual ~Transform() = default;

  virtual void Apply(Random& random, Sample& sample) const = 0;
};

using TransformRegistry = Registry<Transform, TransformContext>;

// The transforms that `configs` name, in order.
// \error as the registry's, after the position: "transform[1].expand.max_ratio: 0.5 ...".
absl::StatusOr<std::vector<std::unique_ptr<Transform>>> CreateTransforms(
    const google::protobuf::RepeatedPtrField<TransformConfig>& configs,
    const TransformContext& context);

}  // namespace ssd

#define SSD_REGISTER_TRANSFORM(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Transform, ::ssd::TransformContext, Options, Component)

#endif  // DATA_TRANSFORMS_TRANSFORM_H_
