#ifndef SSD_LOSSES_LOSS_TERMS_H_
#define SSD_LOSSES_LOSS_TERMS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"
#include "ssd/losses/loss.h"

// What losses have in common beside the localisation term (localization_term.h): checks of its
// options, the predictions' type, targets of sigmoids and normalisation. Any device, without a
// synchronisation with the host.
namespace ssd {

// The localisation options of either loss, which have the same names; `path` is theirs, with the
// dot ("loss.focal.").
// \error InvalidArgument if localization_weight is not >= 0, smooth_l1_beta not > 0, or
// smooth_l1_beta set with another term than SMOOTH_L1.
template <typename Options>
absl::Status CheckLocalization(const Options& options, absl::string_view path) {
  const double weight = options.localization_weight();
  SSD_RETURN_IF_ERROR(
      CheckOption(weight >= 0, absl::StrCat(path, "localization_weight"), weight, ">= 0"));
  const double beta = options.smooth_l1_beta();
  SSD_RETURN_IF_ERROR(CheckOption(beta > 0, absl::StrCat(path, "smooth_l1_beta"), beta, "> 0"));
  if (options.localization() == LocalizationTerm::SMOOTH_L1) return absl::OkStatus();
  return CheckUnused(options, "smooth_l1_beta", path, "localization: SMOOTH_L1");
}

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
