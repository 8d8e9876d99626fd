#ifndef SSD_LAYERS_WINDOW_H_
#define SSD_LAYERS_WINDOW_H_

#include <cstdint>

#include "ssd/core/types.h"

namespace ssd {

// The square window that a convolution or a pooling moves over a map, in the map's cells.
struct Window {
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
  // A pooling that also visits the cells a last whole window leaves over (Caffe's rounding, torch's
  // ceil_mode). Convolutions have none.
  bool ceil_mode = false;
};

// The network's input as a map of its own: three channels, one cell a pixel, the first centred at
// 0.5 px.
FeatureSpec ImageSpec(ImageSize size);

// The map, of the given channels, that `window` makes of `input`. With jump the input's stride and
// d (k - 1) + 1 the window's extent,
//
//   size   = floor((size + 2 p - d (k - 1) - 1) / s) + 1      0 where the window does not fit
//            with ceil_mode ceil(...), less 1 if the last window began past map and padding
//   stride = jump s
//   centre = first centre + (d (k - 1) / 2 - p) jump
//   field  = receptive field + d (k - 1) jump                 the larger one, where strides differ
//
// (Dumoulin and Visin, arXiv:1603.07285; Araujo et al.,
// distill.pub/2019/computing-receptive-fields).
FeatureSpec MoveWindow(const Window& window, const FeatureSpec& input, int64_t channels);

}  // namespace ssd

#endif  // SSD_LAYERS_WINDOW_H_
