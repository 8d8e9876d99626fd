#include "ssd/optim/optimizer_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ssd {
namespace {

std::string ShapeText(const Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.sizes(), ", "), "] ",
                      c10::toString(tensor.scalar_type()));
}

// `gradient` with the strides of `parameter`. Autograd promises the same order in memory but leaves
// the stride of a dimension of size 1 open, which the fused CUDA kernels refuse.
Tensor GradientLike(const Tensor& gradient, const Tensor& parameter) {
  if (gradient.strides() == parameter.strides()) return gradient;
  for (int64_t d = 0; d < parameter.dim(); ++d) {
    if (parameter.size(d) != 1 && gradient.stride(d) != parameter.stride(d)) {
      return at::zeros_like(parameter).copy_(gradient);
    }
  }
  return gradient.as_strided(parameter.sizes(), parameter.strides());
}

}  // namespace

absl::Status CopyState(const std::vector<std::pair<std::string, Tensor>>& saved,
                       const std::vector<std::pair<std::string, Tensor>>& live) {
  std::map<std::string, Tensor> by_name(saved.begin(), saved.end());
  for (const auto& [name, tensor] : live) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) {
      return absl::InvalidArgumentError(absl::StrCat("'", name, "' is missing"));
    }
    const Tensor& value = found->second;
    if (value.sizes() != tensor.sizes() || value.scalar_type() != tensor.scalar_type()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", name, "' is ", ShapeText(value), ", expected ", ShapeText(tensor)));
    }
  }
  if (by_name.size() != live.size()) {
    for (const auto& entry : live) by_name.erase(entry.first);
    if (!by_name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("'", by_name.begin()->first, "' belongs to nothing here"));
    }
  }
  at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : live) Tensor(tensor).copy_(by_name.at(name));
  return absl::OkStatus();
}

ParameterList WithGradients(const std::vector<NamedParameter>& parameters,
                            const std::vector<std::vector<Tensor>>& slots, bool decay) {
  ParameterList list;
  list.slots.resize(slots.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& value = parameters[i].value;
    if (parameters[i].decay != decay || !value.grad().defined()) continue;
    list.values.push_back(value);
    list.gradients.push_back(GradientLike(value.grad(), value));
    for (size_t s = 0; s < slots.size(); ++s) list.slots[s].push_back(slots[s][i]);
  }
  return list;
}

std::vector<Tensor> ZerosLike(const std::vector<NamedParameter>& parameters) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> zeros;
  for (const NamedParameter& parameter : parameters) {
    zeros.push_back(at::zeros_like(parameter.value));
  }
  return zeros;
}

absl::Status CheckRange(absl::string_view field, double value, bool in_range,
                        absl::string_view requirement) {
  if (in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("optimizer.", field, ": ", value, " must be ", requirement));
}

}  // namespace ssd
