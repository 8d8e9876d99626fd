#include "data/transforms/channel_permutation.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "ssd/core/logging.h"

namespace ssd {

ChannelPermutation ChannelPermutation::Draw(Random& random) {
  ChannelPermutation permutation;
  for (int i = 2; i > 0; --i) {
    const int64_t other = random.Integer(0, i);
    std::swap(permutation.from[static_cast<size_t>(i)],
              permutation.from[static_cast<size_t>(other)]);
  }
  return permutation;
}

void ChannelPermutation::Apply(cv::Mat& rgb) const {
  CHECK(rgb.type() == CV_8UC3);
  for (int y = 0; y < rgb.rows; ++y) {
    cv::Vec3b* const row = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < rgb.cols; ++x) {
      const cv::Vec3b pixel = row[x];
      row[x] = cv::Vec3b(pixel[from[0]], pixel[from[1]], pixel[from[2]]);
    }
  }
}

}  // namespace ssd
