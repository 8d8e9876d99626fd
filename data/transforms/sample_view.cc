#include "data/transforms/sample_view.h"

#include <algorithm>

#include "ssd/core/geometry.h"

namespace ssd {

PixelBox BoxOf(const cv::Rect& rect) {
  return {static_cast<double>(rect.x), static_cast<double>(rect.y),
          static_cast<double>(rect.br().x), static_cast<double>(rect.br().y)};
}

bool CenterIsInside(const PixelBox& box, const PixelBox& patch) {
  const double x = (box.x0 + box.x1) / 2;
  const double y = (box.y0 + box.y1) / 2;
  return patch.x0 <= x && x <= patch.x1 && patch.y0 <= y && y <= patch.y1;
}

bool HasIou(const PixelBox& box, const PixelBox& patch, double min_iou) {
  const double intersection = IntersectionArea(box, patch);
  return intersection >= min_iou * (box.area() + patch.area() - intersection);
}

void CropView(Sample& sample, const cv::Rect& rect, const cv::Scalar& fill) {
  const PixelBox patch = BoxOf(rect);
  sample.image.Crop(rect, fill);
  sample.geometry = sample.geometry.Cropped(patch);
  sample.truth.size = sample.image.size();

  std::vector<Annotation>& objects = sample.truth.objects;
  objects.erase(
      std::remove_if(objects.begin(), objects.end(),
                     [&](const Annotation& object) { return !CenterIsInside(object.box, patch); }),
      objects.end());
  for (Annotation& object : objects) {
    const PixelBox& box = object.box;
    object.box = Clip({box.x0 - patch.x0, box.y0 - patch.y0, box.x1 - patch.x0, box.y1 - patch.y0},
                      sample.truth.size);
  }
}

void ResizeView(Sample& sample, ImageSize size, int interpolation) {
  const ImageSize before = sample.image.size();
  const double x = static_cast<double>(size.width) / static_cast<double>(before.width);
  const double y = static_cast<double>(size.height) / static_cast<double>(before.height);
  sample.image.Resize(size, interpolation);
  sample.geometry = sample.geometry.Resized(size);
  sample.truth.size = size;
  for (Annotation& object : sample.truth.objects) {
    PixelBox& box = object.box;
    box = {box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y};
  }
}

void FlipViewHorizontally(Sample& sample) {
  const double width = static_cast<double>(sample.image.size().width);
  sample.image.FlipHorizontally();
  sample.geometry = sample.geometry.FlippedHorizontally();
  for (Annotation& object : sample.truth.objects) {
    PixelBox& box = object.box;
    box = {width - box.x1, box.y0, width - box.x0, box.y1};
  }
}

void FlipViewVertically(Sample& sample) {
  const double height = static_cast<double>(sample.image.size().height);
  sample.image.FlipVertically();
  sample.geometry = sample.geometry.FlippedVertically();
  for (Annotation& object : sample.truth.objects) {
    PixelBox& box = object.box;
    box = {box.x0, height - box.y1, box.x1, height - box.y0};
  }
}

}  // namespace ssd
