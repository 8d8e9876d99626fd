#ifndef SSD_LOSSES_LOSS_H_
#define SSD_LOSSES_LOSS_H_

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

// Turns box codes [B, A, 4] into corners [B, A, 4]; for losses on boxes. Differentiable.
using BoxDecoder = std::function<Tensor(const Tensor& codes)>;

// What the loss did with each anchor, for pictures and debugging. Detached.
struct LossDetail {
  Tensor classification;  // [B, A] f32, before normalisation
  Tensor localization;    // [B, A] f32, before normalisation; 0 where unmatched
  Tensor chosen;          // [B, A] bool, whether the classification term counts
};

// The training objective. Does not match and does not encode.
class Loss {
 public:
  virtual ~Loss() = default;

  // Finite when nothing matches. Computed in float32 whatever the predictions' type (float64
  // stays); never synchronises with the host.
  virtual Losses Compute(const Predictions& predictions, const Targets& targets,
                         const BoxDecoder& decode, LossDetail* per_anchor = nullptr) const = 0;
};

using LossRegistry = Registry<Loss, LossContext>;

}  // namespace ssd

#define SSD_REGISTER_LOSS(Options, Component) \
  SSD_REGISTER_COMPONENT_(::ssd::Loss, ::ssd::LossContext, Options, Component)

#endif  // SSD_LOSSES_LOSS_H_
