#ifndef SSD_WEIGHTS_WEIGHT_FILE_H_
#define SSD_WEIGHTS_WEIGHT_FILE_H_

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "ssd/tensor_files/named_tensors.h"

namespace ssd {

// What a network was trained to be fed, as InputConfig says it.
struct TrainedInput {
  bool bgr = false;
  // In channel order, of pixel values 0-255.
  std::array<double, 3> mean = {};
  std::array<double, 3> deviation = {};
};

// What a file of weights holds, whichever program wrote it; metadata is safetensors', or a
// checkpoint's numbers and texts (up to a MiB).
struct WeightFile : NamedTensors {
  // The classes' names, label 1 first; empty when the file does not tell them.
  std::vector<std::string> labels;
  // Unset when the file does not tell it.
  std::optional<TrainedInput> input;
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_WEIGHT_FILE_H_
