#ifndef SSD_MODEL_TARGET_ASSIGNER_H_
#define SSD_MODEL_TARGET_ASSIGNER_H_

#include "ssd/coders/box_coder.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.h"

namespace ssd {

// What the network should have predicted for each anchor: the label, corners and code of the truth
// that `matcher` gives it. Unmatched anchors are background (0), ignored ones -1. Does not choose
// negatives: that is the loss's job. On the truth's device, where the anchors must be too; never
// synchronises with the host; no gradient.
Targets AssignTargets(const Matcher& matcher, const BoxCoder& box_coder, const Truth& truth,
                      const Anchors& anchors);

}  // namespace ssd

#endif  // SSD_MODEL_TARGET_ASSIGNER_H_
