#include "data/image_orientation.h"

#include <optional>

#include "data/tiff_directory.h"

namespace ssd {

int ExifOrientation(absl::string_view tiff) {
  const std::optional<TiffDirectory> directory = TiffDirectory::Open(tiff);
  return directory ? directory->Orientation() : kUpright;
}

cv::Mat Turned(const cv::Mat& pixels, int orientation) {
  constexpr int kAroundX = 0, kAroundY = 1, kAroundBoth = -1;  // cv::flip's codes
  cv::Mat turned = pixels;
  if (ExchangesSides(orientation)) cv::transpose(pixels, turned);
  const auto flip = [](const cv::Mat& image, int code) {
    cv::Mat flipped;
    cv::flip(image, flipped, code);
    return flipped;
  };
  switch (orientation) {
    case 2:
    case 6:  // 90 degrees clockwise
      return flip(turned, kAroundY);
    case 3:
    case 7:
      return flip(turned, kAroundBoth);
    case 4:
    case 8:  // 90 degrees counter-clockwise
      return flip(turned, kAroundX);
    default:
      return turned;
  }
}

cv::Rect Turned(const cv::Rect& rect, cv::Size size, int orientation) {
  const auto turned = [size, orientation](cv::Point corner) {
    if (ExchangesSides(orientation)) {
      corner = {corner.y, corner.x};
      const bool from_right = orientation == 6 || orientation == 7;
      const bool from_bottom = orientation == 7 || orientation == 8;
      return cv::Point(from_right ? size.height - corner.x : corner.x,
                       from_bottom ? size.width - corner.y : corner.y);
    }
    const bool from_right = orientation == 2 || orientation == 3;
    const bool from_bottom = orientation == 3 || orientation == 4;
    return cv::Point(from_right ? size.width - corner.x : corner.x,
                     from_bottom ? size.height - corner.y : corner.y);
  };
  return cv::Rect(turned(rect.tl()), turned(rect.br()));
}

int InverseOrientation(int orientation) {
  constexpr int kClockwise = 6, kCounterClockwise = 8;
  if (orientation == kClockwise) return kCounterClockwise;
  if (orientation == kCounterClockwise) return kClockwise;
  return orientation;
}

}  // namespace ssd
