#include "ssd/model/target_assigner.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/where.h>

namespace ssd {

Targets AssignTargets(const Matcher& matcher, const BoxCoder& box_coder, const Truth& truth,
                      const Anchors& anchors) {
  at::NoGradGuard no_grad;
  const Tensor matches = matcher.Match(truth, anchors);  // [B, A]
  Truth rows = truth;
  if (truth.labels.size(1) == 0) {
    // A row of padding gives unmatched anchors something to look up.
    rows.boxes = truth.boxes.new_zeros({truth.boxes.size(0), 1, 4});
    rows.labels = truth.labels.new_zeros({truth.labels.size(0), 1});
  }
  const Tensor row = matches.clamp_min(0);
  const Tensor matched_labels = rows.labels.gather(1, row);
  Targets targets;
  targets.labels =
      at::where(matches.ge(0), matched_labels,
                at::where(matches.eq(Matcher::kIgnored), matched_labels.new_full({}, -1),
                          matched_labels.new_zeros({})));
  targets.boxes = rows.boxes.gather(1, row.unsqueeze(-1).expand({-1, -1, 4}));
  targets.box_codes = box_coder.Encode(targets.boxes, anchors.boxes);
  return targets;
}

}  // namespace ssd
