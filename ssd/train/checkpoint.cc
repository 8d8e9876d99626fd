#include "ssd/train/checkpoint.h"

#include <google/protobuf/text_format.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Names within the archive: texts, prefixes of tensors, tensors.
constexpr char kState[] = "checkpoint_state";
constexpr char kConfig[] = "config";
constexpr char kModel[] = "model/";
constexpr char kAverage[] = "average/";
constexpr char kOptimizer[] = "optimizer/";
constexpr char kCpuRandomState[] = "random_state/cpu";
constexpr char kDeviceRandomState[] = "random_state/device";

void AddTensors(const char* prefix, const StateTensors& tensors, TensorArchiveWriter& archive) {
  for (const auto& [name, tensor] : tensors) archive.AddTensor(absl::StrCat(prefix, name), tensor);
}

}  // namespace

void AddCheckpoint(const Checkpoint& checkpoint, TensorArchiveWriter& archive) {
  std::string state;
  CHECK(google::protobuf::TextFormat::PrintToString(checkpoint.state, &state));
  archive.AddText(kState, state);
  archive.AddText(kConfig, checkpoint.config_text);
  AddTensors(kModel, checkpoint.model, archive);
  AddTensors(kAverage, checkpoint.average, archive);
  AddTensors(kOptimizer, checkpoint.optimizer, archive);
  archive.AddTensor(kCpuRandomState, checkpoint.cpu_random_state);
  if (checkpoint.device_random_state.defined()) {
    archive.AddTensor(kDeviceRandomState, checkpoint.device_random_state);
  }
}

absl::Status WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint) {
  TensorArchiveWriter archive;
  AddCheckpoint(checkpoint, archive);
  return archive.Write(path);
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const TensorArchiveReader archive, TensorArchiveReader::Open(path));
  if (!archive.HasText(kState) || !archive.HasText(kConfig) ||
      !archive.HasTensor(kCpuRandomState)) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is no checkpoint of a run; resume from checkpoints/last.pt of its folder"));
  }
  Checkpoint checkpoint;
  SSD_ASSIGN_OR_RETURN(const std::string state, archive.ReadText(kState));
  if (!google::protobuf::TextFormat::ParseFromString(state, &checkpoint.state)) {
    return absl::DataLossError(absl::StrCat(path, ": its state cannot be read"));
  }
  SSD_ASSIGN_OR_RETURN(checkpoint.config_text, archive.ReadText(kConfig));
  for (const std::string& name : archive.tensor_names()) {
    SSD_ASSIGN_OR_RETURN(Tensor tensor, archive.ReadTensor(name));
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, kModel)) {
      checkpoint.model.emplace_back(std::string(rest), tensor);
    } else if (absl::ConsumePrefix(&rest, kAverage)) {
      checkpoint.average.emplace_back(std::string(rest), tensor);
    } else if (absl::ConsumePrefix(&rest, kOptimizer)) {
      checkpoint.optimizer.emplace_back(std::string(rest), tensor);
    } else if (name == kCpuRandomState) {
      checkpoint.cpu_random_state = tensor;
    } else if (name == kDeviceRandomState) {
      checkpoint.device_random_state = tensor;
    }
  }
  return checkpoint;
}

absl::Status CheckSameRun(const Checkpoint& checkpoint, const std::string& path,
                          absl::string_view config_text, absl::string_view data_digest,
                          at::Device device) {
  if (checkpoint.config_text != config_text) {
    const std::vector<absl::string_view> before = absl::StrSplit(checkpoint.config_text, '\n');
    const std::vector<absl::string_view> now = absl::StrSplit(config_text, '\n');
    size_t line = 0;
    while (line < before.size() && line < now.size() && before[line] == now[line]) ++line;
    const auto shown = [line](const std::vector<absl::string_view>& lines) {
      return line < lines.size() ? absl::StripAsciiWhitespace(lines[line]) : "(the end)";
    };
    return absl::FailedPreconditionError(absl::StrCat(
        path, " belongs to a run with another config: line ", line + 1, " was '", shown(before),
        "' and is '", shown(now), "'; resume with the config it was started with, or start anew"));
  }
  if (checkpoint.state.data_digest() != data_digest) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " belongs to a run on other data: its digest was ", checkpoint.state.data_digest(),
        " and is ", data_digest, "; restore the data, or start anew"));
  }
  const bool was_on_cpu = !checkpoint.device_random_state.defined();
  if (was_on_cpu != device.is_cpu()) {
    return absl::FailedPreconditionError(
        was_on_cpu
            ? absl::StrCat(path, " was written by a run on the CPU; resume it with --device=cpu")
            : absl::StrCat(path, " was written by a run on CUDA; resume it with --device=cuda"));
  }
  return absl::OkStatus();
}

}  // namespace ssd
