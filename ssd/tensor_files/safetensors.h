#ifndef SSD_TENSOR_FILES_SAFETENSORS_H_
#define SSD_TENSOR_FILES_SAFETENSORS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/tensor_files/named_tensors.h"

// Hugging Face's safetensors files: the size of a header (8 bytes), the header, which is JSON, and
// the tensors' elements row by row (https://github.com/huggingface/safetensors, "Format").
namespace ssd {

// The tensors in the header's order; metadata is the header's `__metadata__`.
// \error naming the file and what is wrong: NotFound, PermissionDenied; InvalidArgument when it is
// no such file or has a tensor of a type that is not in kElementTypes; DataLoss when it is cut off
// or corrupt, a name comes twice, tensors overlap, or bytes belong to none.
absl::StatusOr<NamedTensors> ReadSafetensors(const std::string& path);

// As ReadSafetensors, of the file's bytes; `path` names them in errors.
absl::StatusOr<NamedTensors> ParseSafetensors(absl::string_view bytes, const std::string& path);

// Whether the bytes begin as such a file does.
bool LooksLikeSafetensors(absl::string_view bytes);

// Tensors stand in the header as given, in the data by the size of their elements, largest first,
// so that all are aligned. Equal tensors give equal bytes.
// \error naming the file: InvalidArgument for a type that is not in kElementTypes, a name that
// comes twice, is `__metadata__` or no UTF-8; or as WriteFileAtomically.
absl::Status WriteSafetensors(const std::string& path, const NamedTensors& tensors);

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_SAFETENSORS_H_
