#ifndef SSD_WEIGHTS_TORCH_LEGACY_FILE_H_
#define SSD_WEIGHTS_TORCH_LEGACY_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// Reads the format of PyTorch 0.1.10 to 1.5 from a file's bytes: pickles, one after another, and
// the storages. `path` names it in errors. \error as ReadTorchFile (torch_file.h).
absl::StatusOr<WeightFile> ParseTorchLegacy(absl::string_view bytes, const std::string& path);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_LEGACY_FILE_H_
