#ifndef DATA_TRANSFORMS_SAMPLE_VIEW_H_
#define DATA_TRANSFORMS_SAMPLE_VIEW_H_

#include <opencv2/core.hpp>

#include "data/dataset.h"

namespace ssd {

// The geometric changes of a sample's view, each of which does the same to the image, the geometry
// and the truth. Transforms are made of these; none of them draws anything at random.

PixelBox BoxOf(const cv::Rect& rect);

// True if the truth `box` stays when only `patch` is shown: its centre is in the patch, edges
// included (arXiv:1512.02325, section 2.2; Caffe's MeetEmitConstraint with CENTER).
bool CenterIsInside(const PixelBox& box, const PixelBox& patch);

// True if `box` and `patch` have an IoU of `min_iou` or more; with 0 always.
bool HasIou(const PixelBox& box, const PixelBox& patch, double min_iou);

// Shows the rectangle `rect` of the current view, with `fill` (RGB) where it reaches outside.
// Truths whose centre is inside stay, cut at the edge of the new view; the others are dropped.
// Crowds and difficult objects are treated like any other. Precondition: `rect` is not empty.
void CropView(Sample& sample, const cv::Rect& rect, const cv::Scalar& fill);

// Warps the view to `size`; `interpolation` is one of cv::InterpolationFlags.
void ResizeView(Sample& sample, ImageSize size, int interpolation);

// Mirrors the view left to right.
void FlipViewHorizontally(Sample& sample);

// Mirrors the view top to bottom.
void FlipViewVertically(Sample& sample);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_SAMPLE_VIEW_H_
