#include "ssd/layers/freeze.h"

#include "ssd/core/types.h"
#include "ssd/layers/norm.h"

namespace ssd {

void Freeze(torch::nn::Module& module) {
  for (const Tensor& parameter : module.parameters(/*recurse=*/false)) {
    parameter.set_requires_grad(false);
  }
  if (auto* const norm = dynamic_cast<Norm*>(&module)) norm->FreezeStatistics();
  for (const auto& child : module.children()) Freeze(*child);
}

}  // namespace ssd
