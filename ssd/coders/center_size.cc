#include "ssd/coders/center_size.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>

#include <algorithm>

#include "ssd/core/option_check.h"

namespace ssd {
namespace {

// Sizes below this are taken for it: a logarithm needs more than 0.
constexpr double kLeastSize = 1e-12;

// Float64 stays, for gradient checks; everything else is float32: bfloat16 has 8 bits for a
// position.
at::ScalarType ComputeType(const Tensor& input) {
  return input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Of decoded boxes that nothing else bounds: e^80 times an anchor and a variance is far from
// float32's 3e38, and so is its derivative.
constexpr double kLargestLogSize = 80;

}  // namespace

absl::StatusOr<std::unique_ptr<BoxCoder>> CenterSizeBoxCoder::Create(
    const CenterSizeOptions& options, const BoxCoderContext& /*context*/) {
  const double center = options.center_variance();
  SSD_RETURN_IF_ERROR(
      CheckOption(center > 0, "box_coder.center_size.center_variance", center, "> 0"));
  const double size = options.size_variance();
  SSD_RETURN_IF_ERROR(CheckOption(size > 0, "box_coder.center_size.size_variance", size, "> 0"));
  const double max = options.max_log_size();
  SSD_RETURN_IF_ERROR(CheckOption(!options.has_max_log_size() || max > 0,
                                  "box_coder.center_size.max_log_size", max, "> 0"));
  const double min = options.min_log_size();
  SSD_RETURN_IF_ERROR(CheckOption(!options.has_min_log_size() || min < 0,
                                  "box_coder.center_size.min_log_size", min, "< 0"));
  return std::unique_ptr<BoxCoder>(new CenterSizeBoxCoder(options));
}

CenterSizeBoxCoder::CenterSizeBoxCoder(const CenterSizeOptions& options)
    : center_variance_(options.center_variance()),
      size_variance_(options.size_variance()),
      max_log_size_(options.has_max_log_size() ? std::min(options.max_log_size(), kLargestLogSize)
                                               : kLargestLogSize) {
  if (options.has_min_log_size()) min_log_size_ = options.min_log_size();
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
  Tensor log_size = (codes.narrow(-1, 2, 2).to(type) * size_variance_).clamp_max(max_log_size_);
  if (min_log_size_) log_size = log_size.clamp_min(*min_log_size_);
  const Tensor center = offset * (size * center_variance_) + like.narrow(-1, 0, 2);
  const Tensor half = log_size.exp() * (size * 0.5);
  return at::cat({center - half, center + half}, -1);
}

SSD_REGISTER_BOX_CODER(CenterSizeOptions, CenterSizeBoxCoder);

}  // namespace ssd
