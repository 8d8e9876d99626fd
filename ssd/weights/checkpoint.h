#ifndef SSD_WEIGHTS_CHECKPOINT_H_
#define SSD_WEIGHTS_CHECKPOINT_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "ssd/weights/pickle_value.h"

namespace ssd {

// The part of a checkpoint that is the weights; `root` itself when it is a state dict, a module, a
// list or a tensor. In a dict that is the value of the first of the usual keys (state_dict,
// model_state_dict, model, net, module, ema, weights) that is a dict or an object and has tensors,
// and in it again; where `root` has none of them and no tensors of its own, the one value that has
// tensors, those of an optimizer ("optim...") left aside.
//
// Numbers and texts beside the weights are added to `metadata`, up to a MiB.
// \error InvalidArgument naming the file `path` and the keys, when several values have tensors and
// none of the usual keys.
absl::StatusOr<const PickleValue*> FindCheckpointWeights(
    const PickleValue& root, const std::string& path, std::map<std::string, std::string>& metadata);

}  // namespace ssd

#endif  // SSD_WEIGHTS_CHECKPOINT_H_
