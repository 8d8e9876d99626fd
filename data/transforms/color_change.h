#ifndef DATA_TRANSFORMS_COLOR_CHANGE_H_
#define DATA_TRANSFORMS_COLOR_CHANGE_H_

#include <opencv2/core.hpp>

namespace ssd {

// SSD's colour operations with fixed amounts, in Caffe's arithmetic (util/im_transforms.cpp):
// pixels are bytes before and after each step, rounded half to even and cut to 0-255. Draws nothing
// at random. The defaults change nothing.
//
// Saturation and hue are changed in OpenCV's 8-bit HSV (hue 0-179, in steps of 2 degrees). Caffe
// goes to HSV and back once for each; here both are changed on one way, which rounds less. As in
// Caffe a hue that would fall below 0 stays at 0 (red) instead of going round, unless wrap_hue.
struct ColorChange {
  double brightness = 0;       // added to every channel
  double contrast = 1;         // factor of every channel
  bool contrast_last = false;  // after saturation and hue; otherwise before
  double saturation = 1;       // factor of the saturation
  double hue = 0;              // added to the hue
  bool wrap_hue = false;       // the hue goes round at both ends

  bool IsIdentity() const {
    return brightness == 0 && contrast == 1 && saturation == 1 && hue == 0;
  }

  // Changes `rgb`, CV_8UC3, in place.
  void Apply(cv::Mat& rgb) const;
};

}  // namespace ssd

#endif  // DATA_TRANSFORMS_COLOR_CHANGE_H_
