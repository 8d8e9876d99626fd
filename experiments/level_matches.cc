#include "experiments/level_matches.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "ssd/report/class_colors.h"

namespace ssd {

std::vector<OutlinedBox> OutlineLevelMatches(const std::vector<Annotation>& truths,
                                             const std::vector<std::vector<AnchorMatch>>& matches,
                                             int64_t level) {
  std::vector<OutlinedBox> boxes;
  for (const Annotation& truth : truths) {
    boxes.push_back({truth.box, ClassColor(truth.label), LineStyle::kDotted, ""});
  }
  std::vector<size_t> first_of_truth;
  for (size_t g = 0; g < matches.size(); ++g) {
    const Rgb color = ClassColor(truths[g].label);
    bool first = true;  // of this truth: the best comes first
    for (const AnchorMatch& match : matches[g]) {
      if (match.place.level != level) continue;
      if (first) first_of_truth.push_back(boxes.size());
      first = false;
      boxes.push_back({match.box, color, match.forced ? LineStyle::kDashed : LineStyle::kSolid,
                       absl::StrFormat("%.2f", match.iou)});
    }
  }
  if (boxes.size() - truths.size() <= kMostNamedAnchors) return boxes;
  for (size_t i = truths.size(); i < boxes.size(); ++i) {
    if (!std::binary_search(first_of_truth.begin(), first_of_truth.end(), i)) {
      boxes[i].text.clear();
    }
  }
  return boxes;
}

}  // namespace ssd
