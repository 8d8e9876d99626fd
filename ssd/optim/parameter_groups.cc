#include "ssd/optim/parameter_groups.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/optim/optimizer_state.h"

namespace ssd {
namespace {

// Whether `pattern` is all of `name`, its stars standing for any characters.
bool Matches(absl::string_view pattern, absl::string_view name) {
  size_t in_pattern = 0, in_name = 0;
  // Where the last star stands and the name goes on after what it takes. An earlier star has
  // nothing to gain from taking more: whatever follows it can be left to the last one.
  size_t star = absl::string_view::npos, after_star = 0;
  while (in_name < name.size()) {
    if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
      star = in_pattern++;
      after_star = in_name;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == name[in_name]) {
      ++in_pattern;
      ++in_name;
    } else if (star != absl::string_view::npos) {
      in_pattern = star + 1;
      in_name = ++after_star;
    } else {
      return false;
    }
  }
  while (in_pattern < pattern.size() && pattern[in_pattern] == '*') ++in_pattern;
  return in_pattern == pattern.size();
}

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
          CheckRange(Field(i, name), value, value >= 0 && std::isfinite(value), ">= 0 and finite"));
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
      if (!Matches(group.pattern(), parameter.name)) continue;
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
