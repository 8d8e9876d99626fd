#include "ssd/coders/center_size.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <cmath>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

// Sizes below this are taken for it: a logarithm needs more than 0.
constexpr double kLeastSize = 1e-12;

// Float64 stays, for gradient checks; everything else is float32: bfloat16 has 8 bits for a
// position.
at::ScalarType ComputeType(const Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

absl::Status CheckPositive(double value, const char* field) {
  if (value > 0 && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("box_coder.center_size.", field, ": ", value, " must be positive and finite"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BoxCoder>> CenterSizeBoxCoder::Create(
    const CenterSizeOptions& options, const BoxCoderContext& /*context*/) {
  SSD_RETURN_IF_ERROR(CheckPositive(options.center_variance(), "center_variance"));
  SSD_RETURN_IF_ERROR(CheckPositive(options.size_variance(), "size_variance"));
  std::optional<double> max_log_size;
  if (options.has_max_log_size()) {
    SSD_RETURN_IF_ERROR(CheckPositive(options.max_log_size(), "max_log_size"));
    max_log_size = options.max_log_size();
  }
  return std::unique_ptr<BoxCoder>(
      new CenterSizeBoxCoder(options.center_variance(), options.size_variance(), max_log_size));
}

Tensor CenterSizeBoxCoder::Encode(const Tensor& boxes, const Tensor& anchors) const {
  const at::ScalarType type = ComputeType(boxes);
  const Tensor like = anchors.to(type);
  const Tensor center = like.narrow(-1, 0, 2);
  const Tensor size = like.narrow(-1, 2, 2);
  const Tensor low = boxes.narrow(-1, 0, 2).to(type);
  const Tensor high = boxes.narrow(-1, 2, 2).to(type);
  const Tensor offset = ((low + high) * 0.5 - center) / (size * center_variance_);
  const Tensor log_size = ((high - low).clamp_min(kLeastSize) / size).log() / size_variance_;
  return at::cat({offset, log_size}, -1);
}

Tensor CenterSizeBoxCoder::Decode(const Tensor& codes, const Tensor& anchors) const {
  const at::ScalarType type = ComputeType(codes);
  const Tensor like = anchors.to(type);
  const Tensor size = like.narrow(-1, 2, 2);
  const Tensor offset = codes.narrow(-1, 0, 2).to(type);
  Tensor log_size = codes.narrow(-1, 2, 2).to(type) * size_variance_;
  if (max_log_size_.has_value()) log_size = log_size.clamp_max(*max_log_size_);
  const Tensor center = offset * (size * center_variance_) + like.narrow(-1, 0, 2);
  const Tensor half = log_size.exp() * (size * 0.5);
  return at::cat({center - half, center + half}, -1);
}

SSD_REGISTER_BOX_CODER(CenterSizeOptions, CenterSizeBoxCoder);

}  // namespace ssd
