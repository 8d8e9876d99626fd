#ifndef SSD_CORE_EXCEPTION_STATUS_H_
#define SSD_CORE_EXCEPTION_STATUS_H_

#include <exception>

#include "absl/status/status.h"

namespace ssd {

// What LibTorch, oneDNN, OpenCV or the standard library threw, as an error of one line and without
// LibTorch's backtrace: ResourceExhausted where the memory ran out, else Internal.
absl::Status ExceptionStatus(const std::exception& error);

}  // namespace ssd

#endif  // SSD_CORE_EXCEPTION_STATUS_H_
