#include "ssd/optim/optimizer_state.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
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

std::vector<ParameterList> WithGradients(const std::vector<NamedParameter>& parameters,
                                         const std::vector<std::vector<Tensor>>& slots) {
  std::vector<ParameterList> lists;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const NamedParameter& parameter = parameters[i];
    const Tensor& value = parameter.value;
    if (!value.grad().defined()) continue;
    auto list = std::find_if(lists.begin(), lists.end(), [&parameter](const ParameterList& other) {
      return other.weight_decay_multiplier == parameter.weight_decay_multiplier &&
             other.learning_rate_multiplier == parameter.learning_rate_multiplier;
    });
    if (list == lists.end()) {
      ParameterList added;
      added.weight_decay_multiplier = parameter.weight_decay_multiplier;
      added.learning_rate_multiplier = parameter.learning_rate_multiplier;
      added.slots.resize(slots.size());
      list = lists.insert(lists.end(), std::move(added));
    }
    list->values.push_back(value);
    list->gradients.push_back(GradientLike(value.grad(), value));
    for (size_t s = 0; s < slots.size(); ++s) list->slots[s].push_back(slots[s][i]);
  }
  return lists;
}

Tensor LearningRateOf(const ParameterList& list, const Tensor& learning_rate) {
  if (list.learning_rate_multiplier == 1) return learning_rate;
  return learning_rate.mul(list.learning_rate_multiplier);
}

std::vector<Tensor> DecayedGradients(const ParameterList& list, double weight_decay) {
  std::vector<Tensor> decayed = at::_foreach_mul(list.values, weight_decay);
  at::_foreach_add_(decayed, list.gradients);
  return decayed;
}

void AssignUnlessNonfinite(const std::vector<Tensor>& values, const Tensor& found_nonfinite,
                           const std::vector<Tensor>& targets) {
  if (!found_nonfinite.defined()) {
    at::_foreach_copy_(targets, values);
    return;
  }
  const Tensor found = found_nonfinite.ne(0);
  for (size_t i = 0; i < targets.size(); ++i) {
    targets[i].copy_(at::where(found, targets[i], values[i]));
  }
}

std::vector<Tensor> ZerosLike(const std::vector<NamedParameter>& parameters) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> zeros;
  for (const NamedParameter& parameter : parameters) {
    zeros.push_back(at::zeros_like(parameter.value));
  }
  return zeros;
}

}  // namespace ssd
