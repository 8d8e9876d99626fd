#ifndef SSD_EVAL_DETECTIONS_JSON_H_
#define SSD_EVAL_DETECTIONS_JSON_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ssd/core/annotations.h"
#include "ssd/eval/evaluator.h"

namespace ssd {

// Detections in COCO's results format: an array of
//   {"image_id": 42, "category_id": 18, "bbox": [x, y, width, height], "score": 0.236}
// with the dataset's own ids (LabelMap::source_ids), pixels of the original to three decimals and
// scores to nine digits, enough to tell any two floats apart. One detection a line, images by
// ascending id, each image's in the order given: the same detections give the same bytes.
std::string DetectionsJson(std::vector<ImageDetections> images, const LabelMap& labels);

// Writes that to `path`, whole or not at all. \error as WriteFileAtomically.
absl::Status WriteDetectionsJson(const std::string& path, std::vector<ImageDetections> images,
                                 const LabelMap& labels);

}  // namespace ssd

#endif  // SSD_EVAL_DETECTIONS_JSON_H_
