#ifndef SSD_MODEL_MODEL_DEFAULTS_H_
#define SSD_MODEL_MODEL_DEFAULTS_H_

#include "ssd/model/model.pb.h"

namespace ssd {

// Fills in what `config` leaves open and a field's default cannot say: families without a kind get
// the original SSD's component (all but the backbone, which nobody should get unasked), and
// input.mean and input.std the values of ImageNet in the order of input.channel_order. Sets no
// plain field that has a default, and validates nothing. Doing it twice changes nothing.
void ResolveModelDefaults(ModelConfig& config);

}  // namespace ssd

#endif  // SSD_MODEL_MODEL_DEFAULTS_H_
