#ifndef SSD_WEIGHTS_WEIGHT_METADATA_H_
#define SSD_WEIGHTS_WEIGHT_METADATA_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "ssd/model/model.pb.h"
#include "ssd/weights/weight_file.h"

// What weights were trained on, beside them.
namespace ssd {

// nullopt unless mean and std have a value for every channel.
std::optional<TrainedInput> InputOf(const InputConfig& config);

// Adds to safetensors' metadata what is known, as protobuf text: "ssd.labels" is a SavedLabels
// (ssd/model/model_file.proto), "ssd.input" an InputConfig of channel order, mean and std.
void AddMetadata(const std::vector<std::string>& labels, const std::optional<TrainedInput>& input,
                 std::map<std::string, std::string>& metadata);

// Reads back from file.metadata what AddMetadata added. \error InvalidArgument naming the file
// `path` and the entry, when it is no such text.
absl::Status ReadMetadata(const std::string& path, WeightFile& file);

// The classes' names in the text of a SavedLabels. \error as ParseTextProto, of `source`.
absl::Status ReadLabels(const std::string& text, const std::string& source, WeightFile& file);

}  // namespace ssd

#endif  // SSD_WEIGHTS_WEIGHT_METADATA_H_
