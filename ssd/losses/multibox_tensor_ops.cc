#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_sigmoid.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/where.h>

#include <tuple>

#include "ssd/losses/localization_term.h"
#include "ssd/losses/loss_terms.h"
#include "ssd/losses/multibox_terms.h"

namespace ssd {
namespace {

// The confidence loss of every anchor, [B, A].
struct ConfidenceLosses {
  Tensor ranking;  // of one-hot targets and without weights: what negatives are ranked by
  Tensor loss;
};

ConfidenceLosses SoftmaxLosses(const Tensor& logits, const Tensor& labels, double smoothing) {
  const Tensor of_label = logits.gather(-1, labels.clamp_min(0).unsqueeze(-1)).squeeze(-1);
  const Tensor loss = logits.logsumexp(-1) - of_label;
  if (smoothing == 0) return {loss, loss};
  return {loss, loss + (of_label - logits.mean(-1)) * smoothing};
}

ConfidenceLosses SigmoidLosses(const Tensor& logits, const Tensor& labels, double smoothing) {
  // p of the anchor's own class, 1 - p of the others, are sigmoid(toward).
  const Tensor toward = at::where(IsOwnClass(labels, logits.size(-1)), logits, -logits);
  const Tensor loss = -at::log_sigmoid(toward).sum(-1);
  if (smoothing == 0) return {loss, loss};
  // -log sigmoid(-x) = x - log sigmoid(x).
  return {loss, loss + toward.sum(-1) * (smoothing / 2)};
}

// [B, A]: the weights of the labels' classes. Class by class, for a table would have to be copied
// from the host in every step.
Tensor ClassWeights(const MultiboxLossOptions& options, const Tensor& labels, at::ScalarType type) {
  const Tensor weights = at::ones(labels.sizes(), labels.options().dtype(type));
  for (int c = 0; c < options.class_weight_size(); ++c) {
    weights.masked_fill_(labels == c + 1, options.class_weight(c));
  }
  return weights;
}

}  // namespace

MultiboxTerms MultiboxTermsByTensorOps(const Predictions& predictions, const Targets& targets,
                                       const MultiboxLossOptions& options, bool sigmoid,
                                       const BoxDecoder& decode, LossDetail* per_anchor) {
  const Tensor& logits = predictions.class_logits;
  const Tensor& codes = predictions.box_codes;
  const Tensor positive = targets.labels > 0;
  const Tensor negative = targets.labels == 0;
  const ConfidenceLosses losses =
      sigmoid ? SigmoidLosses(logits, targets.labels, options.label_smoothing())
              : SoftmaxLosses(logits, targets.labels, options.label_smoothing());

  Tensor chosen;
  if (options.mining() == MultiboxLossOptions::NONE) {
    chosen = targets.labels >= 0;
  } else {
    const Tensor hardness = at::where(negative, losses.ranking.detach().clamp_min(0), -1.0);
    // Stable: ties go to the lower anchor.
    const Tensor order = std::get<1>(at::sort(hardness, /*stable=*/true, 1, /*descending=*/true));
    const Tensor rank = at::empty_like(order).scatter_(
        1, order, at::arange(order.size(1), order.options()).expand_as(order));
    const Tensor wanted = (positive.sum(1, true).to(at::kDouble) * options.negatives_per_positive())
                              .floor()
                              .clamp_min(options.min_negatives());
    chosen = positive.logical_or(negative.logical_and(rank < wanted));
  }

  Tensor confidence = losses.loss;
  if (options.class_weight_size() > 0) {
    confidence = confidence * ClassWeights(options, targets.labels, confidence.scalar_type());
  }
  const Tensor localization = LocalizationPerAnchor(codes, targets, decode, options.localization(),
                                                    options.smooth_l1_beta());
  if (per_anchor) {
    per_anchor->classification =
        at::where(targets.labels >= 0, confidence.detach(), 0.0).to(at::kFloat);
    per_anchor->localization = localization.detach().to(at::kFloat);
    per_anchor->chosen = chosen;
  }
  const Normalizer normalizer(options.normalizer(), positive);
  return {normalizer.Normalize(at::where(chosen, confidence, 0.0)),
          normalizer.Normalize(localization)};
}

}  // namespace ssd
