#ifndef DATA_TRANSFORMS_INTERPOLATION_H_
#define DATA_TRANSFORMS_INTERPOLATION_H_

#include "data/data.pb.h"
#include "ssd/core/random.h"

namespace ssd {

// `interpolation` as one of cv::InterpolationFlags; only RANDOM draws, one of the five at equal
// odds.
int DrawInterpolation(ResizeOptions::Interpolation interpolation, Random& random);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_INTERPOLATION_H_
