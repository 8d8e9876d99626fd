#ifndef EXPERIMENTS_RESOLVE_EXPERIMENT_H_
#define EXPERIMENTS_RESOLVE_EXPERIMENT_H_

#include "experiments/experiment.pb.h"

namespace ssd {

// Writes out every default: families without a kind get the original SSD's component (all but the
// backbone and the datasets), empty lists what their field documents, data.validation the folder of
// data.train where it has the same kind of dataset and names none, and every field its schema
// default. A oneof, or a field whose absence means something, stays as it is. Doing it twice
// changes nothing. data.label and AUTO values stay for the run to fill in: they depend on data and
// machine.
void Resolve(Experiment& experiment);

}  // namespace ssd

#endif  // EXPERIMENTS_RESOLVE_EXPERIMENT_H_
