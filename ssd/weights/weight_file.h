#ifndef SSD_WEIGHTS_WEIGHT_FILE_H_
#define SSD_WEIGHTS_WEIGHT_FILE_H_

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "ssd/core/types.h"

namespace ssd {

// What a network was trained to be fed, as InputConfig says it.
struct TrainedInput {
  bool bgr = false;
  // In channel order, of pixel values 0-255.
  std::array<double, 3> mean = {};
  std::array<double, 3> deviation = {};
};

// What a file of weights holds, whichever program wrote it.
struct WeightFile {
  // In the file's order, every name once. On the CPU; may share memory, and need not be contiguous.
  std::vector<std::pair<std::string, Tensor>> tensors;
  // What the file says beside them: safetensors' metadata, a checkpoint's numbers and texts (up to
  // a MiB).
  std::map<std::string, std::string> metadata;
  // The classes' names, label 1 first; empty when the file does not tell them.
  std::vector<std::string> labels;
  // Unset when the file does not tell it.
  std::optional<TrainedInput> input;

  // Null where there is none.
  const Tensor* Find(absl::string_view name) const {
    for (const auto& [candidate, tensor] : tensors) {
      if (candidate == name) return &tensor;
    }
    return nullptr;
  }
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_WEIGHT_FILE_H_
