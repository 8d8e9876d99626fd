#ifndef SSD_WEIGHTS_TORCH_FILE_H_
#define SSD_WEIGHTS_TORCH_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/weight_file.h"

// Files of torch.save and torch.jit.save (.pt, .pth), without Python.
namespace ssd {

// Reads what torch.save wrote, in its zip format or the one before PyTorch 1.6, what
// torch::pickle_save and torch::save wrote in C++, and TorchScript archives: a pickle (pickle.h)
// and the storages its tensors are views of. Tensors keep their strides and share storages.
//
// Names are the keys on the way to a tensor, joined by dots; list elements are counted from 0. Of a
// module that was saved whole they are its state_dict's. In a checkpoint, the weights are taken
// from state_dict, model_state_dict, model, net, weights or module, the first that is there, so
// that an optimizer's state is left aside, and its numbers and texts become metadata. The prefixes
// "module." (DataParallel) and "_orig_mod." (torch.compile) are dropped when every name has them.
//
// \error naming the file and the byte: NotFound, PermissionDenied; InvalidArgument when it is no
// such file, calls functions, or holds sparse, quantised, complex or 8-bit floating point tensors;
// DataLoss when it is cut off or corrupt.
absl::StatusOr<WeightFile> ReadTorchFile(const std::string& path);

// As ReadTorchFile, of the file's bytes; `path` names them in errors.
absl::StatusOr<WeightFile> ParseTorchFile(absl::string_view bytes, const std::string& path);

// Writes the tensors as torch.save would write an OrderedDict of them: torch.load gives the
// state_dict. The pickle has the same bytes as PyTorch's. Tensors are written row by row, each with
// a storage of its own; metadata is not written.
// \error naming the file: InvalidArgument for a type that is not in kElementTypes, or as
// WriteFileAtomically.
absl::Status WriteTorchFile(const std::string& path, const WeightFile& weights);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_FILE_H_
