#include "ssd/anchors/anchor_file.h"

#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/npy.h"
#include "ssd/tensor_files/safetensors.h"

namespace ssd {
namespace {

constexpr char kNpyEnding[] = ".npy";
constexpr char kSafetensorsEnding[] = ".safetensors";
constexpr char kTensorName[] = "anchors";

absl::Status Wrong(const std::string& path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::Status WrongEnding(const std::string& path) {
  return Wrong(path, absl::StrCat("the name must end in ", kNpyEnding, " or ", kSafetensorsEnding));
}

// The file's one tensor.
absl::StatusOr<Tensor> ReadTensor(const std::string& path) {
  if (absl::EndsWith(path, kNpyEnding)) return ReadNpy(path);
  if (!absl::EndsWith(path, kSafetensorsEnding)) return WrongEnding(path);
  SSD_ASSIGN_OR_RETURN(NamedTensors file, ReadSafetensors(path));
  if (file.tensors.size() == 1) return std::move(file.tensors[0].second);
  return Wrong(
      path, absl::StrCat("it has ", file.tensors.size(), " tensors; boxes are one [A, 4] tensor"));
}

}  // namespace

absl::StatusOr<Tensor> ReadAnchorFile(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const Tensor stored, ReadTensor(path));
  if (stored.scalar_type() != at::kFloat && stored.scalar_type() != at::kDouble) {
    return Wrong(path, absl::StrCat("its numbers are ", c10::toString(stored.scalar_type()),
                                    "; save boxes as F32 or F64"));
  }
  if (stored.dim() != 2 || stored.size(0) == 0 || stored.size(1) != 4) {
    return Wrong(path, absl::StrCat("its shape is [", absl::StrJoin(stored.sizes(), ", "),
                                    "]; boxes are [A, 4] (cx, cy, w, h)"));
  }
  Tensor boxes = stored.to(at::kFloat).contiguous();
  const float* const values = boxes.const_data_ptr<float>();
  for (int64_t i = 0; i < boxes.numel(); ++i) {
    const bool is_size = i % 4 >= 2;
    if (!std::isfinite(values[i]) || (is_size && values[i] <= 0)) {
      return Wrong(path, absl::StrCat("box ", i / 4, " (from 0) has ", values[i], " for its ",
                                      is_size ? "width or height, which must be > 0"
                                              : "centre, which must be finite"));
    }
  }
  return boxes;
}

absl::Status WriteAnchorFile(const std::string& path, const Tensor& boxes) {
  CHECK(boxes.dim() == 2 && boxes.size(1) == 4 && boxes.scalar_type() == at::kFloat);
  if (absl::EndsWith(path, kNpyEnding)) return WriteNpy(path, boxes);
  if (!absl::EndsWith(path, kSafetensorsEnding)) return WrongEnding(path);
  NamedTensors file;
  file.tensors.emplace_back(kTensorName, boxes);
  return WriteSafetensors(path, file);
}

}  // namespace ssd
