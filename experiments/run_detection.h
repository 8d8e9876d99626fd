#ifndef EXPERIMENTS_RUN_DETECTION_H_
#define EXPERIMENTS_RUN_DETECTION_H_

#include <atomic>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"

namespace ssd {

struct DetectionOptions {
  std::string weights;  // a model file
  std::string device = "auto";
  int64_t threads = 0;
  // Detections below this score are left out; [0, 1]. Not for a dataset, whose results file holds
  // all that the post-processor keeps.
  double min_score = 0.5;
  // A folder that must not exist. Gets the drawn pictures, as JPEG under the inputs' names (empty:
  // none are drawn), or a dataset's detections.json.
  std::string output;
  // Not null: a value other than 0 (a signal's number) ends the work before the next image, or the
  // dataset's next batch.
  const std::atomic<int>* stop = nullptr;
};

struct DetectionSummary {
  int64_t images = 0;  // that could be read
  int64_t unreadable_images = 0;
  int64_t detections = 0;
  double seconds = 0;  // in Detector::Detect alone; of a dataset, of the whole pass
  std::string output;
};

// The image files that `inputs` name: files as they are, folders with every image in them (by
// ending, not in folders below), and globs where no such file exists; folders and globs sorted.
// \error NotFound naming an input that names nothing.
absl::StatusOr<std::vector<std::string>> ImageFiles(const std::vector<std::string>& inputs);

// Detects in each image and writes a JSON line for each to `lines`:
//   {"image":"a.jpg","width":640,"height":480,"detections":[{"class":"dog","label":12,
//    "score":0.98,"bbox":[x,y,width,height]}]}
// Of several files, one that is no sound image (IsBadImage, data/image_header.h) or may not be read
// is named in the log and passed over.
// \error naming the file, where it is the only one or cannot be read for another reason; Cancelled
// after `stop`. What was found before stays; an `output` without a picture goes.
absl::StatusOr<DetectionSummary> RunDetection(const std::vector<std::string>& files,
                                              const DetectionOptions& options, std::ostream& lines);

// Detects in every image of data.validation of `experiment`, which need not have truths, as
// RunEvaluation does, and writes `output`/detections.json: COCO's results format with the dataset's
// own ids of images and categories.
// \error naming the flag, the file or the field at fault; Cancelled after `stop`. Nothing is
// written then.
absl::StatusOr<DetectionSummary> RunDatasetDetection(const Experiment& experiment,
                                                     const DetectionOptions& options);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_DETECTION_H_
