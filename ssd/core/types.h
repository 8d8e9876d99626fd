#ifndef SSD_CORE_TYPES_H_
#define SSD_CORE_TYPES_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "ssd/core/geometry.h"

// The values that travel between components: plain structs of tensors, without behaviour.
//
// Throughout the program boxes are float32 corners (x0, y0, x1, y1) in [0, 1] of the network's
// view, except anchors, which are (cx, cy, w, h); label 0 is background and 1..C are the classes.
// B images a batch, A anchors, G padded truths an image, C classes, K detections an image.
namespace ssd {

using Tensor = at::Tensor;

// One feature map as the anchors and the head see it. Strides, centres and the receptive field are
// in pixels of the network's input; first_center is the centre of cell (0, 0)'s receptive field.
struct FeatureSpec {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  double stride_y = 0;
  double stride_x = 0;
  double first_center_y = 0;
  double first_center_x = 0;
  double receptive_field = 0;
};

// All default boxes of a model: level by level, row by row, column by column, then by shape.
struct Anchors {
  Tensor boxes;                    // [A, 4] f32 (cx, cy, w, h)
  std::vector<int64_t> per_level;  // sums to A
};

// The truths of a batch, padded to one G.
struct Truth {
  Tensor boxes;   // [B, G, 4] f32
  Tensor labels;  // [B, G] i64; 0 marks padding
  Tensor ignore;  // [B, G] bool; crowds and difficult objects: never matched
};

// What the loader hands to the trainer.
struct Batch {
  Tensor images;  // [B, 3, H, W] u8 RGB, channels innermost in memory
  Truth truth;
  std::vector<int64_t> image_ids;  // the dataset's ids
  std::vector<Geometry> geometry;  // of each image's way to the network's view
};

// The network's raw output.
struct Predictions {
  Tensor box_codes;     // [B, A, 4]
  Tensor class_logits;  // [B, A, C + 1], background first; of a head of sigmoids [B, A, C]
};

// What the loss compares predictions with. Where labels <= 0, codes and boxes are those of no truth
// in particular: finite where SsdDetector assigned them, but a loss must not count on it.
struct Targets {
  Tensor labels;     // [B, A] i64; 0 background, -1 takes no part
  Tensor box_codes;  // [B, A, 4] f32; finite and meaningful where labels > 0
  Tensor boxes;      // [B, A, 4] f32, the matched truths' corners; finite where labels > 0
};

// 0-d tensors on the predictions' device: float64 where the predictions are, otherwise float32.
// total is what is differentiated: the sum of the other two, which contain their weights.
struct Losses {
  Tensor total;
  Tensor classification;
  Tensor localization;
};

// Final detections, best first; stays on the device. Rows from counts on are zero.
struct Detections {
  Tensor boxes;   // [B, K, 4] f32
  Tensor scores;  // [B, K] f32
  Tensor labels;  // [B, K] i64
  Tensor counts;  // [B] i64
};

}  // namespace ssd

#endif  // SSD_CORE_TYPES_H_
