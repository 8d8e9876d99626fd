#ifndef SSD_WEIGHTS_TORCH_FILE_H_
#define SSD_WEIGHTS_TORCH_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/weight_file.h"

// Files of torch.save and torch.jit.save (.pt, .pth), without Python; torch_file_writer.h writes.
namespace ssd {

// Reads what torch.save wrote, in its zip format or the one before PyTorch 1.6, what
// torch::pickle_save and torch::save wrote in C++, and TorchScript archives: a pickle (pickle.h)
// and the storages its tensors are views of. Tensors keep their strides and share storages.
//
// Names are the keys on the way to a tensor, joined by dots; list elements are counted from 0. Of a
// module that was saved whole they are its state_dict's. Of a checkpoint only the weights are read
// (checkpoint.h); the numbers and texts beside them become metadata, and values of any other class
// (argparse.Namespace, datetime, an enum.Enum) are passed over. The prefixes "module."
// (DataParallel), "module.1.", "model." and "_orig_mod." (torch.compile) are dropped when every
// name has them.
//
// \error naming the file and the byte: NotFound, PermissionDenied; InvalidArgument when it is no
// such file, holds sparse, quantised, complex or 8-bit floating point tensors among the weights, or
// objects of unknown classes that are made of tensors, or does not tell which of its parts is the
// weights; DataLoss when it is cut off or corrupt.
absl::StatusOr<WeightFile> ReadTorchFile(const std::string& path);

// As ReadTorchFile, of the file's bytes; `path` names them in errors.
absl::StatusOr<WeightFile> ParseTorchFile(absl::string_view bytes, const std::string& path);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_FILE_H_
