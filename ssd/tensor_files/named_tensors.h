#ifndef SSD_TENSOR_FILES_NAMED_TENSORS_H_
#define SSD_TENSOR_FILES_NAMED_TENSORS_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "ssd/core/types.h"

namespace ssd {

// Tensors by name, and texts beside them: what a file of tensors holds, whichever its format.
struct NamedTensors {
  // In the file's order, every name once. On the CPU; may share memory, and need not be contiguous.
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> metadata;

  // Null where there is none.
  const Tensor* Find(absl::string_view name) const {
    for (const auto& [candidate, tensor] : tensors) {
      if (candidate == name) return &tensor;
    }
    return nullptr;
  }
};

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_NAMED_TENSORS_H_
