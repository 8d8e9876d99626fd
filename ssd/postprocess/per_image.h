#ifndef SSD_POSTPROCESS_PER_IMAGE_H_
#define SSD_POSTPROCESS_PER_IMAGE_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "ssd/core/boxes.h"
#include "ssd/postprocess/post_processor.h"

// What post-processors do around their rule: a batch image by image on the CPU, and its detections
// packed.
namespace ssd {

// A coordinate clipped to the image. NaN stays.
inline float ClipToImage(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : (x <= 0 ? 0.0f : x); }

// An image's predictions; A anchors, C classes.
struct ImagePredictions {
  const float* boxes;   // [A, 4] corners
  const float* logits;  // [A, C + 1], background first, or [A, C] of sigmoids
  int64_t num_anchors;
  int64_t num_classes;
  bool sigmoid;

  Corners Box(int64_t anchor, bool clip) const {
    const float* const box = boxes + 4 * anchor;
    if (!clip) return {box[0], box[1], box[2], box[3]};
    return {ClipToImage(box[0]), ClipToImage(box[1]), ClipToImage(box[2]), ClipToImage(box[3])};
  }
};

inline bool IsFinite(const Corners& box) {
  return std::isfinite(box.x0) && std::isfinite(box.y0) && std::isfinite(box.x1) &&
         std::isfinite(box.y1);
}

// Where an image's detections go, best first.
struct DetectionRows {
  float* boxes;
  float* scores;
  int64_t* labels;

  void Write(int64_t row, const Corners& box, float score, int64_t label) const {
    std::memcpy(boxes + 4 * row, &box, sizeof(box));
    scores[row] = score;
    labels[row] = label;
  }
};

// Writes an image's detections, at most as many as there are rows, and returns how many.
using ImageProcessor =
    std::function<int64_t(const ImagePredictions& image, const DetectionRows& out)>;

// Runs `process` on every image, parallel over images, with `rows` rows for each. Predictions on
// another device are copied to the host once per batch and the detections back. boxes and
// class_logits as PostProcessor::Process's.
Detections ProcessImages(const Tensor& boxes, const Tensor& class_logits,
                         const PostProcessorContext& context, int64_t rows,
                         const ImageProcessor& process);

}  // namespace ssd

#endif  // SSD_POSTPROCESS_PER_IMAGE_H_
