#ifndef SSD_WEIGHTS_TORCH_ZIP_FILE_H_
#define SSD_WEIGHTS_TORCH_ZIP_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// Reads the zip format of PyTorch 1.6 and later, and of TorchScript, from a file's bytes: a folder
// with a pickle, data.pkl, and a file for each storage. `path` names it in errors. \error as
// ReadTorchFile (torch_file.h).
absl::StatusOr<WeightFile> ParseTorchZip(absl::string_view bytes, const std::string& path);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_ZIP_FILE_H_
