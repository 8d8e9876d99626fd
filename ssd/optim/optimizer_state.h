#ifndef SSD_OPTIM_OPTIMIZER_STATE_H_
#define SSD_OPTIM_OPTIMIZER_STATE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"
#include "ssd/optim/optimizer.h"

namespace ssd {

// Copies `saved` into the tensors of `live` (an optimizer's, or an average's, by name), on whatever
// device and in whatever memory layout those are. Changes nothing after an error.
// \error InvalidArgument naming the first entry that is missing, unknown or of another shape or
// type.
absl::Status CopyState(const std::vector<std::pair<std::string, Tensor>>& saved,
                       const std::vector<std::pair<std::string, Tensor>>& live);

// The parameters of one Step() that share a weight decay, with what belongs to each.
struct ParameterList {
  std::vector<Tensor> values;
  std::vector<Tensor> gradients;           // same strides as values
  std::vector<std::vector<Tensor>> slots;  // [slot][parameter]
};

// The parameters whose `decay` is as given and which have a gradient. `slots[s]` holds slot s of
// every parameter.
ParameterList WithGradients(const std::vector<NamedParameter>& parameters,
                            const std::vector<std::vector<Tensor>>& slots, bool decay);

// One zero tensor for each parameter, laid out as it is.
std::vector<Tensor> ZerosLike(const std::vector<NamedParameter>& parameters);

// \error InvalidArgument "optimizer.<kind>.<field>: <value> must be in [0, 1)" and the like.
absl::Status CheckRange(absl::string_view field, double value, bool in_range,
                        absl::string_view requirement);

// learning_rate * images_per_step / per_batch (Goyal et al., arXiv:1706.02677, linear scaling).
inline double ScaleLearningRate(double learning_rate, int64_t images_per_step, int64_t per_batch) {
  return learning_rate * static_cast<double>(images_per_step) / static_cast<double>(per_batch);
}

}  // namespace ssd

#endif  // SSD_OPTIM_OPTIMIZER_STATE_H_
