#ifndef EXPERIMENTS_CHECK_EXPERIMENT_VIEW_H_
#define EXPERIMENTS_CHECK_EXPERIMENT_VIEW_H_

#include "absl/status/statusor.h"
#include "data/check/network_view.h"
#include "experiments/experiment.pb.h"

namespace ssd {

// What the network of `experiment` is shown of an image when it is judged: what the transforms of
// data.validation make of it, and where they do not end in model.input's size, that warped to it.
// May be called from several threads at once. \error InvalidArgument naming the transform at fault.
absl::StatusOr<NetworkView> ViewOf(const Experiment& experiment);

}  // namespace ssd

#endif  // EXPERIMENTS_CHECK_EXPERIMENT_VIEW_H_
