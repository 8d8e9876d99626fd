#ifndef EXPERIMENTS_RUN_DEVICE_H_
#define EXPERIMENTS_RUN_DEVICE_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ssd {

// The device that --device names: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or
// "cuda:N". \error InvalidArgument for other names, FailedPrecondition for a device that is not
// there, saying what is.
absl::StatusOr<c10::Device> SelectDevice(const std::string& name);

// Sets LibTorch's threads and keeps OpenCV from starting any of its own. 0: all cores this process
// may use. Returns the number. \error InvalidArgument if negative, or above 1024 and four times the
// cores.
absl::StatusOr<int64_t> SetThreads(int64_t threads);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_DEVICE_H_
