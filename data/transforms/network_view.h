#ifndef DATA_TRANSFORMS_NETWORK_VIEW_H_
#define DATA_TRANSFORMS_NETWORK_VIEW_H_

#include <opencv2/core.hpp>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "ssd/core/geometry.h"
#include "ssd/core/random.h"

namespace ssd {

// For transforms that bring a sample to the size of the network's input.

// \error InvalidArgument naming `transform` unless both sides of `input` are positive.
absl::Status CheckInput(absl::string_view transform, ImageSize input);

// The size of an image of `size` once its sides are multiplied by one factor: the one at which it
// just fits into `view`, times `scale`. Rounded, at least a pixel a side.
ImageSize ScaledToFit(ImageSize size, ImageSize view, double scale);

// Shows `size` pixels of the sample at its present scale, axis by axis: where the view is longer, a
// part of it at a random place; where it is shorter, all of it at `position`, beside `fill`.
void CropOrPad(Sample& sample, ImageSize size, ResizeAndPadOptions::Position position,
               const cv::Scalar& fill, Random& random);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_NETWORK_VIEW_H_
