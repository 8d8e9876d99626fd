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
// positives), at least min_negatives, of largest -log p(background) are chosen; ties go to the
// lower anchor. Anchors labelled -1 take no part. Losses::classification is L_conf / N,
// Losses::localization alpha L_loc / N; Losses::total is L.
//
// Options replace N (LossNormalizer), smoothL1 (localization_term.h), one-hot targets t by
// (1 - e) t + e / (C + 1) for label_smoothing e (Szegedy et al., arXiv:1512.00567, section 7), and
// weigh the L_conf of positives by class. With sigmoids instead of a softmax
//
//   L_conf = sum over positives and chosen negatives of
//            - sum over classes c of t_c log s_c + (1 - t_c) log(1 - s_c),   s_c = sigmoid(x_c),
//
// negatives are ranked by it with t = 0, and smoothed targets are (1 - e) t + e / 2.
//
//   loss { multibox { negatives_per_positive: 3 localization_weight: 1 smooth_l1_beta: 1 } }
//   loss { multibox { localization: GIOU localization_weight: 2 min_negatives: 3 } }
class MultiboxLoss final : public Loss {
 public:
  // \error InvalidArgument if an option is outside its range, or class_weight has another count
  // than the classes.
  static absl::StatusOr<std::unique_ptr<Loss>> Create(const MultiboxLossOptions& options,
                                                      const LossContext& context);

  Losses Compute(const Predictions& predictions, const Targets& targets, const BoxDecoder& decode,
                 LossDetail* per_anchor) const override;

 private:
  MultiboxLoss(const MultiboxLossOptions& options, const LossContext& context)
      : options_(options), context_(context) {}

  MultiboxLossOptions options_;
  LossContext context_;
};

}  // namespace ssd

#endif  // SSD_LOSSES_MULTIBOX_LOSS_H_
