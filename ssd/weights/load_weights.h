#ifndef SSD_WEIGHTS_LOAD_WEIGHTS_H_
#define SSD_WEIGHTS_LOAD_WEIGHTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/core/annotations.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/weights/weights.pb.h"

namespace ssd {

// What became of a file's weights. Every weight of the detector (of its backbone, for BACKBONE) is
// in one of loaded, missing and mismatched; every weight of the file is loaded, unused, mismatched,
// or known to be of no use here (a classifier behind a backbone).
struct LoadReport {
  std::string source;                   // "torchvision's ssd300_vgg16"
  std::vector<std::string> loaded;      // the detector's names
  std::vector<std::string> unused;      // the file's names
  std::vector<std::string> missing;     // the detector's names
  std::vector<std::string> mismatched;  // "NAME has shape [..], the detector's has [..]"
  // What to know beside: how classes were chosen, and an input that is not what the weights were
  // trained on.
  std::vector<std::string> notes;

  // In a line, but for the notes.
  std::string Summary() const;
};

// Copies the weights of a file, this program's or another project's, into a detector, which may
// have other classes than the file or be another network in part. (The detector that a model file
// describes: LoadModel, ssd/model/model_file.h.) `labels` are the detector's classes. Types, device
// and layout of the detector's weights stay.
//
// \error as ReadWeights; InvalidArgument naming the file when no source is known for its names, or
// weights are missing, unused or of another shape without a pattern that permits it, and naming
// class_row as ClassRows::Choose (class_rows.h). The detector is unchanged after an error.
// Precondition: as many labels as the detector has classes.
absl::StatusOr<LoadReport> LoadWeights(const WeightsOptions& options, const LabelMap& labels,
                                       SsdDetector& detector);

}  // namespace ssd

#endif  // SSD_WEIGHTS_LOAD_WEIGHTS_H_
