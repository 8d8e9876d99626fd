#ifndef SSD_POSTPROCESS_NMS_H_
#define SSD_POSTPROCESS_NMS_H_

#include <cstdint>
#include <vector>

#include "ssd/core/boxes.h"

// Greedy non-maximum suppression: boxes are visited from the best score down (ties: the lower index
// first), and one is kept unless its IoU with a kept box of its label is above the threshold. IoU
// at the threshold is kept, as are boxes without area. Does not filter by score and does not clip.
//
// With suppress_equal IoU at the threshold suppresses too (NVIDIA). With eta below 1 each kept box
// multiplies the threshold of its label by eta, as long as it is above 0.5 (Caffe's ApplyNMSFast).
namespace ssd {

// The rule itself, for boxes that are offered best first; on the CPU. Cost: an IoU, eight at a
// time, with each kept box of the same label.
class GreedySuppression {
 public:
  // Labels are 0..num_labels-1. iou_threshold: in [0, 1]; eta: in (0, 1].
  GreedySuppression(int64_t num_labels, float iou_threshold, bool suppress_equal = false,
                    float eta = 1);

  // True if the box is kept.
  bool Offer(int64_t label, const Corners& box);

 private:
  // Kept boxes in groups of eight; lanes without a box overlap nothing.
  struct Group {
    float x0[8], y0[8], x1[8], y1[8], area[8];
  };
  struct Kept {
    std::vector<Group> groups;
    int64_t count = 0;
    float iou_threshold;
  };

  std::vector<Kept> kept_;
  bool suppress_equal_;
  float eta_;
};

}  // namespace ssd

#endif  // SSD_POSTPROCESS_NMS_H_
