#ifndef SSD_TENSOR_FILES_NPY_H_
#define SSD_TENSOR_FILES_NPY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"

// NumPy's array files (.npy), versions 1 to 3: a magic number, the size of a header, the header,
// which is a Python dictionary, and the elements (numpy.lib.format).
namespace ssd {

// An array of float32 or float64, little-endian, in C order, as a tensor of that type on the CPU.
// \error naming the file: NotFound, PermissionDenied; InvalidArgument when it is no such file or
// has another type or order; DataLoss when it is cut off, or longer than its shape says.
absl::StatusOr<Tensor> ReadNpy(const std::string& path);

// As ReadNpy, of the file's bytes; `path` names them in errors.
absl::StatusOr<Tensor> ParseNpy(absl::string_view bytes, const std::string& path);

// Writes what NumPy would. Precondition: float32 or float64. \error as WriteFileAtomically.
absl::Status WriteNpy(const std::string& path, const Tensor& array);

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_NPY_H_
