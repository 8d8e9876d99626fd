#ifndef SSD_WEIGHTS_TORCH_FILE_WRITER_H_
#define SSD_WEIGHTS_TORCH_FILE_WRITER_H_

#include <string>

#include "absl/status/status.h"
#include "ssd/tensor_files/named_tensors.h"

namespace ssd {

// Writes the tensors as torch.save would write an OrderedDict of them: torch.load gives the
// state_dict. The pickle has the same bytes as PyTorch's. Tensors are written row by row, each with
// a storage of its own; metadata is not written.
// \error naming the file: InvalidArgument for a type that is not in kElementTypes, or as
// WriteFileAtomically.
absl::Status WriteTorchFile(const std::string& path, const NamedTensors& weights);

}  // namespace ssd

#endif  // SSD_WEIGHTS_TORCH_FILE_WRITER_H_
