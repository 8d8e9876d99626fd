#include "ssd/weights/weight_metadata.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model_file.pb.h"

namespace ssd {
namespace {

constexpr char kLabels[] = "ssd.labels";
constexpr char kInput[] = "ssd.input";

}  // namespace

std::optional<TrainedInput> InputOf(const InputConfig& config) {
  TrainedInput input;
  input.bgr = config.channel_order() == InputConfig::BGR;
  const int channels = static_cast<int>(input.mean.size());
  if (config.mean_size() != channels || config.std_size() != channels) return std::nullopt;
  for (int i = 0; i < channels; ++i) {
    if (!(config.std(i) > 0)) return std::nullopt;
    input.mean[static_cast<size_t>(i)] = config.mean(i);
    input.deviation[static_cast<size_t>(i)] = config.std(i);
  }
  return input;
}

void AddMetadata(const std::vector<std::string>& labels, const std::optional<TrainedInput>& input,
                 std::map<std::string, std::string>& metadata) {
  if (!labels.empty()) {
    SavedLabels saved;
    for (const std::string& label : labels) saved.add_classes()->set_name(label);
    metadata[kLabels] = PrintTextProto(saved);
  }
  if (input) {
    InputConfig saved;
    saved.set_channel_order(input->bgr ? InputConfig::BGR : InputConfig::RGB);
    for (const double mean : input->mean) saved.add_mean(static_cast<float>(mean));
    for (const double deviation : input->deviation) saved.add_std(static_cast<float>(deviation));
    metadata[kInput] = PrintTextProto(saved);
  }
}

absl::Status ReadMetadata(const std::string& path, WeightFile& file) {
  const auto labels = file.metadata.find(kLabels);
  if (labels != file.metadata.end()) {
    SSD_RETURN_IF_ERROR(ReadLabels(labels->second, absl::StrCat(path, "/", kLabels), file));
  }
  const auto input = file.metadata.find(kInput);
  if (input != file.metadata.end()) {
    InputConfig saved;
    SSD_RETURN_IF_ERROR(ParseTextProto(input->second, absl::StrCat(path, "/", kInput), saved));
    file.input = InputOf(saved);
  }
  return absl::OkStatus();
}

absl::Status ReadLabels(const std::string& text, const std::string& source, WeightFile& file) {
  SavedLabels labels;
  SSD_RETURN_IF_ERROR(ParseTextProto(text, source, labels));
  for (const SavedLabels::Class& label : labels.classes()) file.labels.push_back(label.name());
  return absl::OkStatus();
}

}  // namespace ssd
