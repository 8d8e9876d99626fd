#ifndef EXPERIMENTS_VALIDATE_EXPERIMENT_H_
#define EXPERIMENTS_VALIDATE_EXPERIMENT_H_

#include "absl/status/status.h"
#include "experiments/experiment.pb.h"
#include "ssd/core/text_proto.h"

namespace ssd {

// Whose network an experiment is run with.
enum class NetworkFrom {
  kConfig,     // its own `model`
  kModelFile,  // that of a model file: `model`, and what depends on it, is not checked
};

// Checks a resolved experiment: that its name can be a folder's, every number is finite and in
// range, every family names one component that is linked, and that each component accepts its
// options. Opens no data. \error InvalidArgument or NotFound: the field's full path, its value and
// remedy, after the place of the field, or of the nearest message around it, in `locations` (the
// whole has the path "").
absl::Status Validate(const Experiment& experiment, const FieldLocations& locations = {},
                      NetworkFrom network = NetworkFrom::kConfig);

}  // namespace ssd

#endif  // EXPERIMENTS_VALIDATE_EXPERIMENT_H_
