#include "data/transforms/network_view.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "data/transforms/sample_view.h"

namespace ssd {
namespace {

// Where a window of `window` pixels begins on an axis of `length`; negative where it is longer.
int64_t FirstPixel(int64_t length, int64_t window, ResizeAndPadOptions::Position position,
                   Random& random) {
  if (length > window) return random.Integer(0, length - window);
  switch (position) {
    case ResizeAndPadOptions::CENTER:
      return -((window - length) / 2);
    case ResizeAndPadOptions::RANDOM:
      return -random.Integer(0, window - length);
    case ResizeAndPadOptions::TOP_LEFT:
      break;
  }
  return 0;
}

}  // namespace

absl::Status CheckInput(absl::string_view transform, ImageSize input) {
  if (input.height > 0 && input.width > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(transform, ": model.input is ", input.width, "x",
                                                 input.height,
                                                 "; set a positive width and height"));
}

ImageSize ScaledToFit(ImageSize size, ImageSize view, double scale) {
  const double width = static_cast<double>(size.width);
  const double height = static_cast<double>(size.height);
  const double factor = scale * std::min(static_cast<double>(view.width) / width,
                                         static_cast<double>(view.height) / height);
  return {std::max<int64_t>(std::llround(height * factor), 1),
          std::max<int64_t>(std::llround(width * factor), 1)};
}

void CropOrPad(Sample& sample, ImageSize size, ResizeAndPadOptions::Position position,
               const cv::Scalar& fill, Random& random) {
  const ImageSize present = sample.image.size();
  if (present == size) return;
  const int64_t left = FirstPixel(present.width, size.width, position, random);
  const int64_t top = FirstPixel(present.height, size.height, position, random);
  CropView(sample,
           cv::Rect(static_cast<int>(left), static_cast<int>(top), static_cast<int>(size.width),
                    static_cast<int>(size.height)),
           fill);
}

}  // namespace ssd
