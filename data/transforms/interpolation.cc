#include "data/transforms/interpolation.h"

#include <opencv2/imgproc.hpp>

namespace ssd {

int DrawInterpolation(ResizeOptions::Interpolation interpolation, Random& random) {
  if (interpolation == ResizeOptions::RANDOM) {
    constexpr ResizeOptions::Interpolation kChoices[] = {
        ResizeOptions::LINEAR, ResizeOptions::AREA, ResizeOptions::NEAREST, ResizeOptions::CUBIC,
        ResizeOptions::LANCZOS};
    interpolation = kChoices[random.Integer(0, 4)];
  }
  switch (interpolation) {
    case ResizeOptions::NEAREST:
      return cv::INTER_NEAREST;
    case ResizeOptions::AREA:
      return cv::INTER_AREA;
    case ResizeOptions::CUBIC:
      return cv::INTER_CUBIC;
    case ResizeOptions::LANCZOS:
      return cv::INTER_LANCZOS4;
    case ResizeOptions::LINEAR:
    case ResizeOptions::RANDOM:
      break;
  }
  return cv::INTER_LINEAR;
}

}  // namespace ssd
