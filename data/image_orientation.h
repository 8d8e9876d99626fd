#ifndef DATA_IMAGE_ORIENTATION_H_
#define DATA_IMAGE_ORIENTATION_H_

#include <opencv2/core.hpp>

#include "absl/strings/string_view.h"

namespace ssd {

// How stored pixels are turned to be upright (EXIF 2.32, section 4.6.5): 1 not at all; 2 mirrored
// left to right, 3 by half a turn, 4 top to bottom; 5 to 8 with rows as columns.
inline constexpr int kUpright = 1;

// The orientation in EXIF's TIFF structure; 1 where there is none, or none that makes sense.
int ExifOrientation(absl::string_view tiff);

inline bool ExchangesSides(int orientation) { return orientation >= 5; }

// The pixels turned as `orientation` says.
cv::Mat Turned(const cv::Mat& pixels, int orientation);

// Where a rectangle of an image of `size` comes to lie when the image is turned; it may reach out.
cv::Rect Turned(const cv::Rect& rect, cv::Size size, int orientation);

// What turns back.
int InverseOrientation(int orientation);

}  // namespace ssd

#endif  // DATA_IMAGE_ORIENTATION_H_
