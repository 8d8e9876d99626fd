#ifndef EXPERIMENTS_RUN_VISUALIZATION_H_
#define EXPERIMENTS_RUN_VISUALIZATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"

namespace ssd {

struct VisualizationOptions {
  // Sheets, separated by commas: truth, anchors, positives, augmented, detections. Empty: all, but
  // detections only with weights.
  std::string show;
  // "train" or "validation"; empty: train, for detections validation.
  std::string split;
  // Images a sheet, evenly spread over the dataset; in [1, 1000].
  int64_t count = 12;
  // Images by their place in the dataset, from 0, separated by commas; in place of `count`.
  std::string index;
  // Tiles a row; of `augmented`, epochs an image; in [1, 100].
  int64_t columns = 4;
  // Longest side of a tile in pixels; in [32, 4096].
  int64_t tile = 400;
  // Of random transforms; >= 0.
  int64_t epoch = 0;
  // Detections below this score are not shown; [0, 1].
  double min_score = 0.5;
  std::string weights;  // a model file; needed for detections only
  std::string device = "auto";
  int64_t threads = 0;
  // A folder, made if it is not there; sheets of the same names are replaced.
  std::string output;
};

// Draws an experiment's data and what its network makes of them, as PNG files:
//
//   truth.png           images with their truths
//   anchors_level_K.png the default boxes of two of level K's cells, and those of that level that
//                       answer for a truth, with their IoU, on what the network sees
//   positives.png       which default boxes answer for which truth
//   augmented.png       a row for each image: what the network sees of it, epoch after epoch
//   detections.png      detections that are right and wrong, and truths that are missed
//
// An image that cannot be decoded is an error; where data.loader.on_bad_image is SKIP, it is named
// in the log, and the next one of the dataset is shown in its place.
//
// What the network sees is a function of (experiment.seed, epoch, index), as in training. The same
// call writes the same bytes. Returns the files in the order above.
// \error naming flag, field or file, value and remedy.
absl::StatusOr<std::vector<std::string>> RunVisualization(const Experiment& experiment,
                                                          const VisualizationOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_VISUALIZATION_H_
