#ifndef EXPERIMENTS_TRUTH_LIFE_PICTURE_H_
#define EXPERIMENTS_TRUTH_LIFE_PICTURE_H_

#include "absl/status/statusor.h"
#include "experiments/truth_life.h"
#include "ssd/report/picture_sheet.h"

namespace ssd {

// The life as a sheet of two or three pictures: the truth as annotated, the default boxes that
// answer for it in training and, with weights, the detections on it in evaluation. `tile`: the
// longest side of a picture in pixels. \error from the image's source.
absl::StatusOr<PictureSheet> TruthLifeSheet(const TruthLife& life, int tile);

}  // namespace ssd

#endif  // EXPERIMENTS_TRUTH_LIFE_PICTURE_H_
