#ifndef SSD_TRAIN_RANDOM_STATE_H_
#define SSD_TRAIN_RANDOM_STATE_H_

#include <c10/core/Device.h>

#include "ssd/core/types.h"

namespace ssd {

// The state of torch's default generator of a device, [N] u8 on the CPU. (Data is augmented with
// ssd::Random, which has no state; this is for layers such as dropout.)
Tensor RandomState(at::Device device);

// \error c10::Error if `state` is no state of that device's generator.
void SetRandomState(at::Device device, const Tensor& state);

}  // namespace ssd

#endif  // SSD_TRAIN_RANDOM_STATE_H_
