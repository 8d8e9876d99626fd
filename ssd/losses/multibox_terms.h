#ifndef SSD_LOSSES_MULTIBOX_TERMS_H_
#define SSD_LOSSES_MULTIBOX_TERMS_H_

#include "ssd/losses/loss.h"

// The two ways of MultiboxLoss::Compute (multibox_loss.h has the formulas); equal up to rounding.
// predictions: both float32 or both float64; targets, decode and per_anchor as Loss::Compute's. The
// result is differentiable, once.
namespace ssd {

// L_conf / N and L_loc / N, 0-d, of the predictions' type.
struct MultiboxTerms {
  Tensor classification;
  Tensor localization;
};

// For the CPU and a softmax, parallel over images: forward and backward in one pass each, which
// touches the logits once, and in backward only the anchors that count. Terms on decoded boxes are
// done by tensor operations.
MultiboxTerms MultiboxTermsOnCpu(const Predictions& predictions, const Targets& targets,
                                 const MultiboxLossOptions& options, const BoxDecoder& decode,
                                 LossDetail* per_anchor);

// For any device, by tensor operations, without a synchronisation with the host. sigmoid: see
// LossContext.
MultiboxTerms MultiboxTermsByTensorOps(const Predictions& predictions, const Targets& targets,
                                       const MultiboxLossOptions& options, bool sigmoid,
                                       const BoxDecoder& decode, LossDetail* per_anchor);

}  // namespace ssd

#endif  // SSD_LOSSES_MULTIBOX_TERMS_H_
