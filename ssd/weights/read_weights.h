#ifndef SSD_WEIGHTS_READ_WEIGHTS_H_
#define SSD_WEIGHTS_READ_WEIGHTS_H_

#include <string>

#include "absl/status/statusor.h"
#include "ssd/weights/weight_file.h"

namespace ssd {

// Reads a file of weights of any format, told by its content: safetensors
// (ssd/tensor_files/safetensors.h; with the labels and the input of weight_metadata.h), this
// program's own (best.pt, last.pt), PyTorch's (torch_file.h), Caffe's (caffe_model.h; also whatever
// is called .caffemodel). Of this program's files the tensors are named as the detector names them
// ("backbone.conv1.weight"). \error as the readers'.
absl::StatusOr<WeightFile> ReadWeights(const std::string& path);

}  // namespace ssd

#endif  // SSD_WEIGHTS_READ_WEIGHTS_H_
