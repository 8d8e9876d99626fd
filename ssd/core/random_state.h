#ifndef SSD_CORE_RANDOM_STATE_H_
#define SSD_CORE_RANDOM_STATE_H_

#include <c10/core/Device.h>

#include "ssd/core/types.h"

namespace ssd {

// The state of torch's default generator of a device, [N] u8 on the CPU. (Data is augmented with
// ssd::Random, which has no state; this is for initial weights and for layers such as dropout.)
Tensor RandomState(at::Device device);

// \error c10::Error if `state` is no state of that device's generator.
void SetRandomState(at::Device device, const Tensor& state);

// Brings a device's generator back to where it was when this object was made.
class RandomStateScope {
 public:
  explicit RandomStateScope(at::Device device = at::kCPU)
      : device_(device), state_(RandomState(device)) {}
  ~RandomStateScope() { SetRandomState(device_, state_); }
  RandomStateScope(const RandomStateScope&) = delete;
  RandomStateScope& operator=(const RandomStateScope&) = delete;

 private:
  const at::Device device_;
  const Tensor state_;
};

}  // namespace ssd

#endif  // SSD_CORE_RANDOM_STATE_H_
