#ifndef EXPERIMENTS_LEVEL_MATCHES_H_
#define EXPERIMENTS_LEVEL_MATCHES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "experiments/anchor_matches.h"
#include "ssd/core/annotations.h"
#include "ssd/report/drawing.h"

namespace ssd {

// With more default boxes than these, only the best of each truth says its IoU.
inline constexpr size_t kMostNamedAnchors = 8;

// How an image shows which default boxes of one level answer for its truths: first the truths,
// dotted, then the boxes of `level`, from 0, truth by truth; dashed where they are forced, their
// IoU as the text. `matches` are MatchAnchors' of the truths; boxes stay in pixels of the view.
std::vector<OutlinedBox> OutlineLevelMatches(const std::vector<Annotation>& truths,
                                             const std::vector<std::vector<AnchorMatch>>& matches,
                                             int64_t level);

}  // namespace ssd

#endif  // EXPERIMENTS_LEVEL_MATCHES_H_
