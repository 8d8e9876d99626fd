#ifndef DATA_TRANSFORMS_CHANNEL_PERMUTATION_H_
#define DATA_TRANSFORMS_CHANNEL_PERMUTATION_H_

#include <array>
#include <opencv2/core.hpp>

#include "ssd/core/random.h"

namespace ssd {

// Channels in another order, the one colour change that distortions of SSD share beyond Caffe's
// default (random_order_prob there; torchvision, mmdetection).
struct ChannelPermutation {
  std::array<int, 3> from = {0, 1, 2};  // channel c of the result is channel from[c]

  // One of the six, the identity among them, at equal odds.
  static ChannelPermutation Draw(Random& random);

  bool IsIdentity() const { return from == std::array<int, 3>{0, 1, 2}; }

  // Changes `rgb`, CV_8UC3, in place.
  void Apply(cv::Mat& rgb) const;
};

}  // namespace ssd

#endif  // DATA_TRANSFORMS_CHANNEL_PERMUTATION_H_
