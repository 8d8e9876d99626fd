#include <ATen/TensorOperators.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/where.h>

#include <memory>

#include "absl/status/statusor.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/losses/localization_term.h"
#include "ssd/losses/loss.h"
#include "ssd/losses/loss_terms.h"

namespace ssd {
namespace {

// 1 - p_t is taken for this at least: below 1, powers have no finite derivative at 0.
constexpr double kLeastMiss = 1e-12;

// The focal loss (Lin et al., arXiv:1708.02002, equation 5) over every anchor that is not ignored,
// instead of mining:
//
//   FL(p_t) = - alpha_t (1 - p_t)^gamma log p_t,   L = (sum of FL + w L_loc) / N
//
// With a head of sigmoids it is RetinaNet's: summed over the C classes of each anchor, p_t =
// sigmoid(x) and alpha_t = alpha for the anchor's own class, 1 - sigmoid(x) and 1 - alpha for the
// others. With a softmax over C + 1 classes p_t is the probability of the anchor's label and
// alpha_t alpha for positives, 1 - alpha for background. w is localization_weight; N and L_loc
// follow LossNormalizer and localization_term.h. Everything is computed from logarithms, so that
// confident anchors neither overflow nor lose their gradient.
//
// All negatives count from the first step on: the paper starts the class biases from a prior
// (section 4.1; head.prior_probability).
//
//   head { activation: SIGMOID prior_probability: 0.01 }
//   loss { focal { alpha: 0.25 gamma: 2 smooth_l1_beta: 0.1 } }
class FocalLoss final : public Loss {
 public:
  // \error InvalidArgument if an option is outside its range.
  static absl::StatusOr<std::unique_ptr<Loss>> Create(const FocalLossOptions& options,
                                                      const LossContext& context) {
    CHECK_GT(context.num_classes, 0);
    const double alpha = options.alpha();
    SSD_RETURN_IF_ERROR(
        CheckOption(alpha > 0 && alpha < 1, "loss.focal.alpha", alpha, "in (0, 1)"));
    const double gamma = options.gamma();
    SSD_RETURN_IF_ERROR(CheckOption(gamma >= 0, "loss.focal.gamma", gamma, ">= 0"));
    SSD_RETURN_IF_ERROR(CheckLocalization(options, "loss.focal."));
    return std::unique_ptr<Loss>(new FocalLoss(options, context));
  }

  Losses Compute(const Predictions& predictions, const Targets& targets, const BoxDecoder& decode,
                 LossDetail* per_anchor) const override {
    CHECK_EQ(predictions.class_logits.size(-1), context_.num_classes + (context_.sigmoid ? 0 : 1));
    CHECK(predictions.class_logits.sizes().slice(0, 2) == targets.labels.sizes());
    CHECK(predictions.box_codes.sizes() == targets.box_codes.sizes());
    // Both of the wider type, should they differ.
    const Tensor logits = Upcast(predictions.class_logits);
    const Tensor codes = Upcast(predictions.box_codes).to(logits.scalar_type());
    const Tensor counts = targets.labels >= 0;
    const Tensor confidence = at::where(
        counts,
        context_.sigmoid ? OfSigmoids(logits, targets.labels) : OfSoftmax(logits, targets.labels),
        0.0);
    const Tensor localization = LocalizationPerAnchor(
        codes, targets, decode, options_.localization(), options_.smooth_l1_beta());
    if (per_anchor) {
      per_anchor->classification = confidence.detach().to(at::kFloat);
      per_anchor->localization = localization.detach().to(at::kFloat);
      per_anchor->chosen = counts;
    }
    const Normalizer normalizer(options_.normalizer(), targets.labels > 0);
    const Tensor classification_term = normalizer.Normalize(confidence);
    const Tensor localization_term =
        normalizer.Normalize(localization) * options_.localization_weight();
    return {classification_term + localization_term, classification_term, localization_term};
  }

 private:
  FocalLoss(const FocalLossOptions& options, const LossContext& context)
      : options_(options), context_(context) {}

  // `loss` times alpha_t.
  Tensor Balanced(const Tensor& is_own, const Tensor& loss) const {
    return at::where(is_own, loss * options_.alpha(), loss * (1 - options_.alpha()));
  }

  // [B, A]; meaningless where labels are -1.
  Tensor OfSigmoids(const Tensor& logits, const Tensor& labels) const {
    const Tensor own = IsOwnClass(labels, context_.num_classes);
    const Tensor toward = at::where(own, logits, -logits);  // p_t = sigmoid(toward)
    const Tensor miss = (at::log_sigmoid(-toward) * options_.gamma()).exp();
    return Balanced(own, -at::log_sigmoid(toward) * miss).sum(-1);
  }

  Tensor OfSoftmax(const Tensor& logits, const Tensor& labels) const {
    const Tensor log_p =
        at::log_softmax(logits, -1).gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1);
    const Tensor miss = (-log_p.expm1()).clamp_min(kLeastMiss).pow(options_.gamma());
    return Balanced(labels > 0, -log_p * miss);
  }

  FocalLossOptions options_;
  LossContext context_;
};

SSD_REGISTER_LOSS(FocalLossOptions, FocalLoss);

}  // namespace
}  // namespace ssd
