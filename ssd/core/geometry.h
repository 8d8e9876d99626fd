#ifndef SSD_CORE_GEOMETRY_H_
#define SSD_CORE_GEOMETRY_H_

#include <algorithm>
#include <cstdint>

namespace ssd {

// Pixels.
struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;

  friend bool operator==(const ImageSize& a, const ImageSize& b) {
    return a.height == b.height && a.width == b.width;
  }
  friend bool operator!=(const ImageSize& a, const ImageSize& b) { return !(a == b); }
};

// Corners in pixels. Continuous coordinates: a box over the whole image is (0, 0, width, height).
struct PixelBox {
  double x0 = 0;
  double y0 = 0;
  double x1 = 0;
  double y1 = 0;

  double width() const { return x1 - x0; }
  double height() const { return y1 - y0; }
  double area() const { return width() * height(); }
};

// The map from a view (what the network is shown of an image) back to the original image's pixels:
// original = scale * view + offset on each axis, view in pixels of the view. A flip is a negative
// scale. Every geometric transform composes it, so boxes always find the way back.
struct Geometry {
  ImageSize original;
  ImageSize view;
  double scale_x = 1;
  double offset_x = 0;
  double scale_y = 1;
  double offset_y = 0;

  // The untouched image.
  static Geometry Identity(ImageSize size) { return {size, size, 1, 0, 1, 0}; }

  // A view that shows the rectangle `crop` (pixels of this view; may reach outside) at its own
  // scale.
  Geometry Cropped(const PixelBox& crop) const;
  // The view warped to `size`.
  Geometry Resized(ImageSize size) const;
  // The view mirrored left to right, or top to bottom.
  Geometry FlippedHorizontally() const;
  Geometry FlippedVertically() const;

  // A box in pixels of the view, in pixels of the original; corners ordered, not clipped.
  PixelBox ToOriginal(const PixelBox& in_view) const;
  // The inverse of ToOriginal.
  PixelBox ToView(const PixelBox& in_original) const;
};

// `box` cut to the image [0, width] x [0, height]; may come out empty.
PixelBox Clip(const PixelBox& box, ImageSize size);

// The area that two boxes have in common; 0 for boxes that are empty.
inline double IntersectionArea(const PixelBox& a, const PixelBox& b) {
  const double width = std::min(a.x1, b.x1) - std::max(a.x0, b.x0);
  const double height = std::min(a.y1, b.y1) - std::max(a.y0, b.y0);
  return width > 0 && height > 0 ? width * height : 0;
}

// Intersection over union in pixels; 0 for boxes that are empty.
inline double BoxIou(const PixelBox& a, const PixelBox& b) {
  const double intersection = IntersectionArea(a, b);
  return intersection > 0 ? intersection / (a.area() + b.area() - intersection) : 0;
}

}  // namespace ssd

#endif  // SSD_CORE_GEOMETRY_H_
