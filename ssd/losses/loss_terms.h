#ifndef SSD_LOSSES_LOSS_TERMS_H_
#define SSD_LOSSES_LOSS_TERMS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ssd/losses/loss.h"

// What losses have in common beside the localisation term (localization_term.h): checks of options,
// the predictions' type, targets of sigmoids and normalisation. Any device, without a
// synchronisation with the host.
namespace ssd {

// Ok if `in_range` and the value is finite. \error InvalidArgument naming the field
// ("focal.alpha"), its value and its range ("in (0, 1)").
absl::Status CheckLossOption(bool in_range, absl::string_view field, double value,
                             absl::string_view range);

// In the type losses are computed in: float64 stays, everything else becomes float32.
Tensor Upcast(const Tensor& predictions);

// [B, A, C] bool: whether a class is the anchor's own. labels: [B, A] i64; 0 and -1 own none.
Tensor IsOwnClass(const Tensor& labels, int64_t num_classes);

// Divides a batch's sums over anchors (LossNormalizer).
class Normalizer {
 public:
  // positive: [B, A] bool, whether an anchor is matched with a truth.
  Normalizer(LossNormalizer::Kind kind, const Tensor& positive);

  // per_anchor: [B, A], 0 where an anchor does not count. Returns a 0-d tensor of its type.
  Tensor Normalize(const Tensor& per_anchor) const;

 private:
  LossNormalizer::Kind kind_;
  double batch_;      // images, at least 1
  Tensor positives_;  // 0-d or [B], at least 1 each; undefined if the rule does not need it
};

}  // namespace ssd

#endif  // SSD_LOSSES_LOSS_TERMS_H_
