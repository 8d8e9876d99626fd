#include "ssd/weights/read_weights.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"
#include "ssd/model/model.pb.h"
#include "ssd/model/tensor_archive.h"
#include "ssd/tensor_files/mapped_file.h"
#include "ssd/tensor_files/safetensors.h"
#include "ssd/tensor_files/zip_archive.h"
#include "ssd/weights/caffe_model.h"
#include "ssd/weights/torch_file.h"
#include "ssd/weights/weight_metadata.h"

namespace ssd {
namespace {

// What model files and checkpoints put before the detector's names.
constexpr const char* kOwnPrefixes[] = {"model.", "model/"};
// Of a tensor archive, which is a zip file too.
constexpr char kIndex[] = "/index";
// Of PyTorch's files, which may have any other entry beside it.
constexpr char kPickle[] = "/data.pkl";
constexpr char kLabels[] = "labels";
constexpr char kModel[] = "model";

// Whether the archive has that entry in its folder.
bool HasEntry(const ZipArchive& archive, absl::string_view wanted) {
  return std::any_of(archive.entries().begin(), archive.entries().end(), [&](const auto& entry) {
    const absl::string_view name = entry.first;
    const size_t slash = name.find('/');
    return slash != absl::string_view::npos && name.substr(slash) == wanted;
  });
}

absl::StatusOr<WeightFile> ReadOwn(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const TensorArchiveReader reader, TensorArchiveReader::Open(path));
  WeightFile file;
  for (const std::string& stored : reader.tensor_names()) {
    for (const absl::string_view prefix : kOwnPrefixes) {
      absl::string_view name = stored;
      if (!absl::ConsumePrefix(&name, prefix)) continue;
      SSD_ASSIGN_OR_RETURN(Tensor tensor, reader.ReadTensor(stored));
      file.tensors.emplace_back(std::string(name), std::move(tensor));
    }
  }
  if (file.tensors.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": holds no model"));
  }
  if (reader.HasText(kLabels)) {
    SSD_ASSIGN_OR_RETURN(const std::string text, reader.ReadText(kLabels));
    SSD_RETURN_IF_ERROR(ReadLabels(text, absl::StrCat(path, "/", kLabels), file));
  }
  if (reader.HasText(kModel)) {
    SSD_ASSIGN_OR_RETURN(const std::string text, reader.ReadText(kModel));
    ModelConfig config;
    // Of a network with components that are not linked here the weights can still be read.
    if (ParseTextProto(text, absl::StrCat(path, "/", kModel), config).ok()) {
      file.input = InputOf(config.input());
    }
  }
  return file;
}

}  // namespace

absl::StatusOr<WeightFile> ReadWeights(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  // First: the size of its header may look like another format's first bytes.
  if (LooksLikeSafetensors(file.bytes())) {
    WeightFile weights;
    SSD_ASSIGN_OR_RETURN(static_cast<NamedTensors&>(weights), ParseSafetensors(file.bytes(), path));
    SSD_RETURN_IF_ERROR(ReadMetadata(path, weights));
    return weights;
  }
  if (absl::StartsWith(file.bytes(), "PK")) {
    SSD_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Open(file.bytes(), path));
    if (!HasEntry(archive, kPickle) && HasEntry(archive, kIndex)) return ReadOwn(path);
  } else if (LooksLikeCaffeModel(file.bytes()) || absl::EndsWith(path, ".caffemodel")) {
    // By the name too: one that is cut off looks like nothing.
    return ParseCaffeModel(file.bytes(), path);
  }
  return ParseTorchFile(file.bytes(), path);
}

}  // namespace ssd
