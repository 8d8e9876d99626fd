#ifndef SSD_POSTPROCESS_POST_PROCESSOR_H_
#define SSD_POSTPROCESS_POST_PROCESSOR_H_

#include <cstdint>

#include "ssd/core/registry.h"
#include "ssd/core/types.h"
#include "ssd/postprocess/post_processor.pb.h"

namespace ssd {

struct PostProcessorContext {
  int64_t num_classes = 0;  // C; > 0
  // Whether class_logits are [B, A, C] of one sigmoid for each class, without a background;
  // otherwise they are [B, A, C + 1] of a softmax, background first.
  bool sigmoid = false;
};

// Turns decoded boxes and class logits into final detections. Does not decode, and does not map
// back to the original image.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;

  // boxes: [B, A, 4] f32 corners; class_logits: [B, A, C + 1], or [B, A, C] of sigmoids, of any
  // floating-point type. Images are independent. Logits, so that an implementation may leave the
  // softmax to the anchors that can survive.
  virtual Detections Process(const Tensor& boxes, const Tensor& class_logits) const = 0;
};

using PostProcessorRegistry = Registry<PostProcessor, PostProcessorContext>;

}  // namespace ssd

#define SSD_REGISTER_POST_PROCESSOR(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::PostProcessor, ::ssd::PostProcessorContext, Options, Component)

#endif  // SSD_POSTPROCESS_POST_PROCESSOR_H_
