#include "ssd/losses/multibox_loss.h"

#include <ATen/TensorOperators.h>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/option_check.h"
#include "ssd/losses/loss_terms.h"
#include "ssd/losses/multibox_terms.h"

namespace ssd {

absl::StatusOr<std::unique_ptr<Loss>> MultiboxLoss::Create(const MultiboxLossOptions& options,
                                                           const LossContext& context) {
  CHECK_GT(context.num_classes, 0);
  const double ratio = options.negatives_per_positive();
  SSD_RETURN_IF_ERROR(
      CheckOption(ratio >= 0, "loss.multibox.negatives_per_positive", ratio, ">= 0"));
  const int least = options.min_negatives();
  SSD_RETURN_IF_ERROR(CheckOption(least >= 0, "loss.multibox.min_negatives", least, ">= 0"));
  if (options.mining() == MultiboxLossOptions::NONE) {
    for (const char* const name : {"negatives_per_positive", "min_negatives"}) {
      SSD_RETURN_IF_ERROR(CheckUnused(options, name, "loss.multibox.", "mining: HARD_NEGATIVE"));
    }
  }
  SSD_RETURN_IF_ERROR(CheckLocalization(options, "loss.multibox."));
  const double smoothing = options.label_smoothing();
  SSD_RETURN_IF_ERROR(CheckOption(smoothing >= 0 && smoothing < 1, "loss.multibox.label_smoothing",
                                  smoothing, "in [0, 1)"));
  const int weights = options.class_weight_size();
  if (weights != 0 && weights != context.num_classes) {
    return absl::InvalidArgumentError(
        absl::StrCat("loss.multibox.class_weight: has ", weights, " values; give one for each of ",
                     context.num_classes, " classes, in the order of the labels, or none"));
  }
  for (const double value : options.class_weight()) {
    SSD_RETURN_IF_ERROR(CheckOption(value >= 0, "loss.multibox.class_weight", value, ">= 0"));
  }
  return std::unique_ptr<Loss>(new MultiboxLoss(options, context));
}

Losses MultiboxLoss::Compute(const Predictions& predictions, const Targets& targets,
                             const BoxDecoder& decode, LossDetail* per_anchor) const {
  CHECK_EQ(predictions.class_logits.size(-1), context_.num_classes + (context_.sigmoid ? 0 : 1));
  CHECK(predictions.class_logits.sizes().slice(0, 2) == targets.labels.sizes());
  CHECK(predictions.box_codes.sizes() == targets.box_codes.sizes());
  // Both of the wider type, should they differ.
  const Tensor logits = Upcast(predictions.class_logits);
  const Tensor codes = Upcast(predictions.box_codes).to(logits.scalar_type());
  const MultiboxTerms terms =
      logits.is_cpu() && !context_.sigmoid
          ? MultiboxTermsOnCpu({codes, logits}, targets, options_, decode, per_anchor)
          : MultiboxTermsByTensorOps({codes, logits}, targets, options_, context_.sigmoid, decode,
                                     per_anchor);
  const Tensor localization = terms.localization * options_.localization_weight();
  return {terms.classification + localization, terms.classification, localization};
}

SSD_REGISTER_LOSS(MultiboxLossOptions, MultiboxLoss);

}  // namespace ssd
