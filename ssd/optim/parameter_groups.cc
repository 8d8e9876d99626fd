#include "ssd/optim/parameter_groups.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/glob.h"
#include "ssd/core/option_check.h"

namespace ssd {
namespace {

std::string Field(int group, absl::string_view name) {
  return absl::StrCat("group[", group, "].", name);
}

absl::Status CheckGroups(const OptimizerConfig& config) {
  for (int i = 0; i < config.group_size(); ++i) {
    const ParameterGroup& group = config.group(i);
    if (group.pattern().empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "optimizer.", Field(i, "pattern"), ": is empty; give a name or a pattern like '*.bias'"));
    }
    for (const auto& [name, value] :
         {std::pair("learning_rate_multiplier", group.learning_rate_multiplier()),
          std::pair("weight_decay_multiplier", group.weight_decay_multiplier())}) {
      SSD_RETURN_IF_ERROR(
          CheckOption(value >= 0, absl::StrCat("optimizer.", Field(i, name)), value, ">= 0"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<NamedParameter>> NamedParameters(const torch::nn::Module& module,
                                                            const OptimizerConfig& config) {
  SSD_RETURN_IF_ERROR(CheckGroups(config));
  // By group: whether its pattern matches any parameter, and one that no earlier group has.
  std::vector<bool> matches(config.group_size(), false), holds(config.group_size(), false);
  std::vector<NamedParameter> parameters;
  std::string example;
  for (const auto& item : module.named_parameters()) {
    if (example.empty()) example = item.key();
    NamedParameter parameter;
    parameter.name = item.key();
    parameter.value = item.value();
    bool in_group = false;
    for (int i = 0; i < config.group_size(); ++i) {
      const ParameterGroup& group = config.group(i);
      if (!MatchesGlob(group.pattern(), parameter.name)) continue;
      matches[i] = true;
      if (in_group) continue;
      in_group = holds[i] = true;
      parameter.weight_decay_multiplier = group.weight_decay_multiplier();
      parameter.learning_rate_multiplier = group.learning_rate_multiplier();
    }
    if (!parameter.value.requires_grad()) continue;
    if (config.no_decay_for_biases_and_norms() && parameter.value.dim() <= 1) {
      parameter.weight_decay_multiplier = 0;
    }
    parameters.push_back(std::move(parameter));
  }
  for (int i = 0; i < config.group_size(); ++i) {
    if (holds[i]) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "optimizer.", Field(i, "pattern"), ": '", config.group(i).pattern(),
        matches[i] ? "' matches only parameters that earlier groups have; put it before them"
                   : absl::StrCat("' matches no parameter; the model's first is '", example, "'")));
  }
  return parameters;
}

}  // namespace ssd
