#include "ssd/optim/parameter_groups.h"

namespace ssd {

std::vector<NamedParameter> NamedParameters(const torch::nn::Module& module,
                                            bool no_decay_for_biases_and_norms) {
  std::vector<NamedParameter> parameters;
  for (const auto& item : module.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    const bool decay = !no_decay_for_biases_and_norms || item.value().dim() > 1;
    parameters.push_back({item.key(), item.value(), decay});
  }
  return parameters;
}

}  // namespace ssd
