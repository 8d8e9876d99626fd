#ifndef EXPERIMENTS_ANCHOR_MATCHES_H_
#define EXPERIMENTS_ANCHOR_MATCHES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/annotations.h"
#include "ssd/core/geometry.h"
#include "ssd/core/types.h"
#include "ssd/matchers/matcher.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {

// Where a default box stands; each from 0.
struct AnchorPlace {
  int64_t level = 0;
  int64_t row = 0;
  int64_t column = 0;
  int64_t shape = 0;  // in its cell
};

// A default box and a truth of one image.
struct AnchorMatch {
  int64_t anchor = 0;
  AnchorPlace place;
  PixelBox box;    // pixels of the view
  double iou = 0;  // with the truth
  // The matcher's rule by IoU alone would not have given it the truth; never set where that rule's
  // threshold is not known.
  bool forced = false;
};

// What decides which default boxes answer for which truths.
struct AnchorSetting {
  const Matcher& matcher;
  Anchors anchors;                       // on the CPU
  absl::Span<const FeatureSpec> levels;  // the maps they are on
  // The IoU from which the matcher gives an anchor its best truth; nullopt: unknown.
  std::optional<double> positive_iou;
};

// That of a detector, which outlives it.
AnchorSetting AnchorSettingOf(const SsdDetector& detector);

// Row `row` of corners [N, 4] in [0, 1], float32, contiguous and on the CPU, in pixels of `view`.
PixelBox InPixels(const Tensor& corners, int64_t row, ImageSize view);

AnchorPlace PlaceOfAnchor(int64_t anchor, const AnchorSetting& setting);

// The truths of one image, boxes in pixels of `view`, as batches have them: [1, max(n, 1), 4].
Truth TruthTensors(const std::vector<Annotation>& objects, ImageSize view);

// Which default boxes answer for each of `objects`, best first; boxes in pixels of `view`.
std::vector<std::vector<AnchorMatch>> MatchAnchors(const AnchorSetting& setting,
                                                   const std::vector<Annotation>& objects,
                                                   ImageSize view);

// The default box that overlaps `object` most, whatever it answers for; ties: the lowest.
AnchorMatch NearestAnchor(const AnchorSetting& setting, const Annotation& object, ImageSize view);

}  // namespace ssd

#endif  // EXPERIMENTS_ANCHOR_MATCHES_H_
