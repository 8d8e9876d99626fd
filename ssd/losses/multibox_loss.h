#ifndef SSD_LOSSES_MULTIBOX_LOSS_H_
#define SSD_LOSSES_MULTIBOX_LOSS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "ssd/losses/loss.h"

namespace ssd {

// SSD's training objective (Liu et al., arXiv:1512.02325, section 2.2, equations 1-3):
//
//   L = (L_conf + alpha L_loc) / N,   N the positives of the whole batch; L = 0 where N = 0
//   L_conf = - sum over positives of log p(label) - sum over chosen negatives of log p(background)
//   L_loc  = sum over positives and the four codes of smoothL1(l - g),
//   smoothL1(x) = x^2 / (2 beta) for |x| < beta, else |x| - beta / 2;   p = softmax over C + 1
//   classes
//
// Hard negative mining: of each image's negatives (label 0) the floor(negatives_per_positive * its
// positives) of largest -log p(background) are chosen; ties go to the lower anchor. Anchors
// labelled -1 take no part. Losses::classification is L_conf / N, Losses::localization L_loc / N,
// without alpha; Losses::total is L.
//
//   loss { multibox { negatives_per_positive: 3 localization_weight: 1 smooth_l1_beta: 1 } }
class MultiboxLoss final : public Loss {
 public:
  // \error InvalidArgument if an option is outside its range.
  static absl::StatusOr<std::unique_ptr<Loss>> Create(const MultiboxLossOptions& options,
                                                      const LossContext& context);

  Losses Compute(const Predictions& predictions, const Targets& targets, const BoxDecoder& decode,
                 LossDetail* per_anchor) const override;

 private:
  MultiboxLoss(const MultiboxLossOptions& options, int64_t num_classes)
      : options_(options), num_classes_(num_classes) {}

  MultiboxLossOptions options_;
  int64_t num_classes_;
};

// L_conf / N and L_loc / N, 0-d, of the predictions' type.
struct MultiboxTerms {
  Tensor classification;
  Tensor localization;
};

// The two ways of Compute; equal up to rounding. predictions: both float32 or both float64;
// targets, options and per_anchor as above. The result is differentiable, once.

// For the CPU, parallel over images: forward and backward in one pass each, which touches the
// logits once, and in backward only the anchors that count.
MultiboxTerms MultiboxTermsOnCpu(const Predictions& predictions, const Targets& targets,
                                 const MultiboxLossOptions& options, LossDetail* per_anchor);

// For any device, by tensor operations, without a synchronisation with the host.
MultiboxTerms MultiboxTermsByTensorOps(const Predictions& predictions, const Targets& targets,
                                       const MultiboxLossOptions& options, LossDetail* per_anchor);

}  // namespace ssd

#endif  // SSD_LOSSES_MULTIBOX_LOSS_H_
