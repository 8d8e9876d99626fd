#ifndef SSD_LOSSES_LOSS_H_
#define SSD_LOSSES_LOSS_H_

#include <cstdint>
#include <functional>

#include "ssd/core/registry.h"
#include "ssd/core/types.h"
#include "ssd/losses/loss.pb.h"

namespace ssd {

struct LossContext {
  int64_t num_classes = 0;  // C; > 0
  // Whether class_logits are [B, A, C] of one sigmoid for each class, without a background;
  // otherwise they are [B, A, C + 1] of a softmax, background first.
  bool sigmoid = false;
};

// Turns box codes [B, A, 4] into corners [B, A, 4]; for losses on boxes. Differentiable. As
// BoxCoder::Decode it gives finite corners with finite derivatives for any codes up to 1e6, but
// corners may lie 1e30 away; codes that are not finite give corners that are not.
using BoxDecoder = std::function<Tensor(const Tensor& codes)>;

// What the loss did with each anchor, for pictures and debugging. Detached. Values are before
// normalisation; they contain what weighs single anchors (class_weight, focal's alpha), but not
// localization_weight, which weighs the whole term. Positives are those with Targets::labels > 0:
// nothing here marks them, for localization can be 0 there too.
struct LossDetail {
  Tensor classification;  // [B, A] f32, of every anchor but those labelled -1, where it is 0
  Tensor localization;    // [B, A] f32; 0 where unmatched
  Tensor chosen;          // [B, A] bool, whether the classification term counts: every positive,
                          // and the negatives that mining left; never those labelled -1
};

// The training objective. Does not match and does not encode.
class Loss {
 public:
  virtual ~Loss() = default;

  // Finite when nothing matches. Computed in float32 whatever the predictions' type, but float64,
  // which stays; never synchronises with the host.
  virtual Losses Compute(const Predictions& predictions, const Targets& targets,
                         const BoxDecoder& decode, LossDetail* per_anchor = nullptr) const = 0;
};

// Errors of Create name the option from its family on ("loss.focal.gamma: ..."); SsdDetector puts
// "model." before it, so that the whole reads as in an experiment. So it is with all families of a
// model.
using LossRegistry = Registry<Loss, LossContext>;

}  // namespace ssd

#define SSD_REGISTER_LOSS(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Loss, ::ssd::LossContext, Options, Component)

#endif  // SSD_LOSSES_LOSS_H_
