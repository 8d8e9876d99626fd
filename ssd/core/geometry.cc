#include "ssd/core/geometry.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ssd {

Geometry Geometry::Cropped(const PixelBox& crop) const {
  Geometry result = *this;
  result.view = {std::llround(crop.height()), std::llround(crop.width())};
  result.offset_x += scale_x * crop.x0;
  result.offset_y += scale_y * crop.y0;
  return result;
}

Geometry Geometry::Resized(ImageSize size) const {
  Geometry result = *this;
  result.view = size;
  result.scale_x *= static_cast<double>(view.width) / static_cast<double>(size.width);
  result.scale_y *= static_cast<double>(view.height) / static_cast<double>(size.height);
  return result;
}

Geometry Geometry::FlippedHorizontally() const {
  Geometry result = *this;
  result.offset_x += scale_x * static_cast<double>(view.width);
  result.scale_x = -scale_x;
  return result;
}

Geometry Geometry::FlippedVertically() const {
  Geometry result = *this;
  result.offset_y += scale_y * static_cast<double>(view.height);
  result.scale_y = -scale_y;
  return result;
}

PixelBox Geometry::ToOriginal(const PixelBox& in_view) const {
  PixelBox box{scale_x * in_view.x0 + offset_x, scale_y * in_view.y0 + offset_y,
               scale_x * in_view.x1 + offset_x, scale_y * in_view.y1 + offset_y};
  if (scale_x < 0) std::swap(box.x0, box.x1);
  if (scale_y < 0) std::swap(box.y0, box.y1);
  return box;
}

PixelBox Geometry::ToView(const PixelBox& in_original) const {
  PixelBox box{(in_original.x0 - offset_x) / scale_x, (in_original.y0 - offset_y) / scale_y,
               (in_original.x1 - offset_x) / scale_x, (in_original.y1 - offset_y) / scale_y};
  if (scale_x < 0) std::swap(box.x0, box.x1);
  if (scale_y < 0) std::swap(box.y0, box.y1);
  return box;
}

PixelBox Clip(const PixelBox& box, ImageSize size) {
  const double width = static_cast<double>(size.width);
  const double height = static_cast<double>(size.height);
  return {std::clamp(box.x0, 0.0, width), std::clamp(box.y0, 0.0, height),
          std::clamp(box.x1, 0.0, width), std::clamp(box.y1, 0.0, height)};
}

}  // namespace ssd
