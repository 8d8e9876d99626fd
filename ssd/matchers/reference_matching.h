#ifndef SSD_MATCHERS_REFERENCE_MATCHING_H_
#define SSD_MATCHERS_REFERENCE_MATCHING_H_

#include <cstdint>
#include <vector>

#include "ssd/core/types.h"
#include "ssd/matchers/threshold_matching.h"

// Random truths and anchors, and the rules as they are written, slowly: what the matchers' tests
// compare with.
namespace ssd {

// n boxes (cx, cy, w, h) of all sizes, some of them equal but for their place in the list.
Tensor RandomCenters(int64_t n);

// Labels 0 to 3, every tenth truth ignored.
Truth RandomTruth(int64_t batch, int64_t padded);

// One image of a batch on the CPU and the overlaps of its truths with the anchors.
class ReferenceImage {
 public:
  // corners: [A, 4] of the anchors.
  ReferenceImage(const Truth& truth, int64_t image, const Tensor& corners);

  int64_t num_truths() const { return static_cast<int64_t>(usable_.size()); }
  int64_t num_anchors() const { return num_anchors_; }
  // A truth that may be matched.
  bool usable(int64_t row) const { return usable_[row]; }
  float iou(int64_t row, int64_t anchor) const { return iou_[row * num_anchors_ + anchor]; }
  // The share of the anchor that lies in the truth.
  float coverage(int64_t row, int64_t anchor) const {
    return coverage_[row * num_anchors_ + anchor];
  }

  // [A], by the rules but that of the border.
  std::vector<int64_t> MatchByRules(const MatchRules& rules) const;

 private:
  int64_t num_anchors_;
  std::vector<bool> usable_;
  std::vector<bool> ignored_;
  std::vector<float> iou_;
  std::vector<float> coverage_;
};

// Rules to try, all but that of the border.
std::vector<MatchRules> SomeRules();

}  // namespace ssd

#endif  // SSD_MATCHERS_REFERENCE_MATCHING_H_
