#ifndef SSD_WEIGHTS_READ_WEIGHTS_H_
#define SSD_WEIGHTS_READ_WEIGHTS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "ssd/model/model.pb.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// Reads a file of weights of any format: safetensors (ssd/tensor_files/safetensors.h), this
// program's own (best.pt, last.pt), PyTorch's (torch_file.h), by their content; Caffe's
// (caffe_model.h), which has no mark, by its name's end, .caffemodel. Of this program's files the
// tensors are named as the detector names them ("backbone.conv1.weight"). \error as the readers'.
absl::StatusOr<WeightFile> ReadWeights(const std::string& path);

// nullopt unless mean and std have a value for every channel.
std::optional<TrainedInput> InputOf(const InputConfig& config);

}  // namespace ssd

#endif  // SSD_WEIGHTS_READ_WEIGHTS_H_
