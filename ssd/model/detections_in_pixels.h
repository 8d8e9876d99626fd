#ifndef SSD_MODEL_DETECTIONS_IN_PIXELS_H_
#define SSD_MODEL_DETECTIONS_IN_PIXELS_H_

#include <cstdint>
#include <vector>

#include "ssd/core/geometry.h"
#include "ssd/core/types.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// The detections of a batch's images, best first, led back to the original pixels by their geometry
// and clipped; what lies outside the image altogether is dropped. Waits for the device.
std::vector<ImageDetections> DetectionsInPixels(const Detections& detections,
                                                const std::vector<int64_t>& image_ids,
                                                const std::vector<Geometry>& geometry);

}  // namespace ssd

#endif  // SSD_MODEL_DETECTIONS_IN_PIXELS_H_
