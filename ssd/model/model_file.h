#ifndef SSD_MODEL_MODEL_FILE_H_
#define SSD_MODEL_MODEL_FILE_H_

#include <torch/nn/module.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/annotations.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/model/tensor_archive.h"

// Model files (best.pt): a tensor archive with all that is needed to detect. It holds the texts
//   model       the resolved ModelConfig, normalisation included
//   labels      SavedLabels
//   experiment  the resolved experiment the model comes from; may be empty
// and every parameter and buffer of the detector as tensor "model.NAME"; the boxes of
// anchor_generator.from_file as tensor "anchors", so that the file they came from may go. No
// optimizer state: that is the checkpoint's (ssd/train).
namespace ssd {

struct SavedModel {
  std::shared_ptr<SsdDetector> detector;  // on the CPU, in evaluation mode
  LabelMap labels;
  std::string experiment;  // as given to SaveModel
};

// Writes the file whole or not at all. \error as TensorArchiveWriter::Write. Precondition: as many
// labels as the detector has classes.
absl::Status SaveModel(const std::string& path, const SsdDetector& detector, const LabelMap& labels,
                       absl::string_view experiment);

// Builds the detector that the file describes; torch's random numbers go on as if it had not.
// \error naming the file: as TensorArchiveReader::Open; InvalidArgument when it is no model file or
// its config is wrong; NotFound when it needs a component that is not linked into this program;
// DataLoss when tensors are missing or do not fit the config. (Into a detector that is there
// already: ssd/weights/load_weights.h.)
absl::StatusOr<SavedModel> LoadModel(const std::string& path);

// The module's parameters and buffers as "PREFIX.NAME".
void AddState(absl::string_view prefix, const torch::nn::Module& module,
              TensorArchiveWriter& writer);

// Copies the tensors "PREFIX.*" into the module's parameters and buffers, whose type, device and
// layout stay. \error InvalidArgument naming the file and the first tensors that are missing, have
// another shape, or are unknown to the module; DataLoss. The module is unchanged after an error.
absl::Status LoadState(const TensorArchiveReader& reader, absl::string_view prefix,
                       torch::nn::Module& module);

}  // namespace ssd

#endif  // SSD_MODEL_MODEL_FILE_H_
