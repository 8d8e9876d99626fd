#ifndef SSD_CODERS_BOX_CODER_H_
#define SSD_CODERS_BOX_CODER_H_

#include "ssd/coders/box_coder.pb.h"
#include "ssd/core/registry.h"
#include "ssd/core/types.h"

namespace ssd {

struct BoxCoderContext {};

// Turns boxes into the numbers the network predicts relative to anchors, and back. Does not clip.
// float64 stays; every other type is computed and returned in float32, because bfloat16 has eight
// bits for a position.
class BoxCoder {
 public:
  virtual ~BoxCoder() = default;

  // boxes: [..., A, 4] corners; anchors: [A, 4] (cx, cy, w, h). Returns codes of boxes' shape.
  // Finite for every box of positive size; boxes of size zero give finite, meaningless codes.
  virtual Tensor Encode(const Tensor& boxes, const Tensor& anchors) const = 0;

  // The inverse: codes [..., A, 4] to corners. Differentiable. Corners and derivatives are finite
  // for any codes up to 1e6, though an untrained network's may lie far outside the image.
  virtual Tensor Decode(const Tensor& codes, const Tensor& anchors) const = 0;
};

using BoxCoderRegistry = Registry<BoxCoder, BoxCoderContext>;

}  // namespace ssd

#define SSD_REGISTER_BOX_CODER(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::BoxCoder, ::ssd::BoxCoderContext, Options, Component)

#endif  // SSD_CODERS_BOX_CODER_H_
