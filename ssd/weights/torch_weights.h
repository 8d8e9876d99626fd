#ifndef SSD_WEIGHTS_TORCH_WEIGHTS_H_
#define SSD_WEIGHTS_TORCH_WEIGHTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/torch_tensors.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// The weights that a pickle of PyTorch's holds, named as torch_file.h says. `path` names the file
// in errors. \error as ReadTorchFile.
absl::StatusOr<WeightFile> CollectTorchWeights(const Pickle& pickle, const TorchStorages& storages,
                                               const std::string& path);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_WEIGHTS_H_
