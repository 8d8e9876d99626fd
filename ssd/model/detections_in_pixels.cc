#include "ssd/model/detections_in_pixels.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/TensorAccessor.h>

#include <utility>

#include "ssd/core/logging.h"

namespace ssd {

std::vector<ImageDetections> DetectionsInPixels(const Detections& detections,
                                                const std::vector<int64_t>& image_ids,
                                                const std::vector<Geometry>& geometry) {
  CHECK_EQ(image_ids.size(), geometry.size());
  CHECK_EQ(static_cast<int64_t>(image_ids.size()), detections.counts.size(0));
  const Tensor boxes = detections.boxes.to(at::kCPU, at::kFloat);
  const Tensor scores = detections.scores.to(at::kCPU, at::kFloat);
  const Tensor labels = detections.labels.to(at::kCPU, at::kLong);
  const Tensor counts = detections.counts.to(at::kCPU, at::kLong);
  const auto box = boxes.accessor<float, 3>();
  const auto score = scores.accessor<float, 2>();
  const auto label = labels.accessor<int64_t, 2>();
  const auto count = counts.accessor<int64_t, 1>();

  std::vector<ImageDetections> images;
  for (size_t b = 0; b < image_ids.size(); ++b) {
    ImageDetections image;
    image.image_id = image_ids[b];
    const double width = static_cast<double>(geometry[b].view.width);
    const double height = static_cast<double>(geometry[b].view.height);
    for (int64_t k = 0; k < count[b]; ++k) {
      const PixelBox in_view = {box[b][k][0] * width, box[b][k][1] * height, box[b][k][2] * width,
                                box[b][k][3] * height};
      const PixelBox in_original = Clip(geometry[b].ToOriginal(in_view), geometry[b].original);
      if (in_original.width() <= 0 || in_original.height() <= 0) continue;
      image.detections.push_back({in_original, score[b][k], label[b][k]});
    }
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace ssd
