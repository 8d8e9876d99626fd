#ifndef DATA_TRANSFORMS_COLOR_STEPS_H_
#define DATA_TRANSFORMS_COLOR_STEPS_H_

#include <opencv2/core.hpp>
#include <vector>

namespace ssd {

// One of torchvision's colour operations (transforms/functional), with its amount. With
// grey = 0.2989 r + 0.587 g + 0.114 b, every channel x becomes
//   BRIGHTNESS f   f x
//   CONTRAST f     f x + (1 - f) m, m the mean grey of the whole image as it is by then
//   SATURATION f   f x + (1 - f) grey
//   HUE t          the colour t turns on along the hue's circle, brightest and darkest channel kept
// cut to [0, 255].
struct ColorStep {
  enum Kind { BRIGHTNESS, CONTRAST, SATURATION, HUE };

  Kind kind;
  double amount;  // >= 0; of HUE in [-0.5, 0.5]

  bool IsIdentity() const { return amount == (kind == HUE ? 0 : 1); }
};

// True if the result at a pixel depends on other pixels too.
bool NeedWholeImage(const std::vector<ColorStep>& steps);

// Changes `rgb`, CV_8UC3, in place: the steps in their order, in floating point, rounded once at
// the end (torchvision's on tensors of floats; on 8-bit images it cuts after every step). Draws
// nothing at random.
void ApplyColorSteps(const std::vector<ColorStep>& steps, cv::Mat& rgb);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_COLOR_STEPS_H_
