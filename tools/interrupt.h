#ifndef TOOLS_INTERRUPT_H_
#define TOOLS_INTERRUPT_H_

#include <atomic>

#include "absl/status/status.h"

namespace ssd {

// From now on the first SIGINT or SIGTERM sets the returned value to its number, and a second one
// ends the process at once with status 128 + number. Call once, before any thread starts.
const std::atomic<int>& CatchInterrupts();

// ExitStatus (command_line.h), but 128 + number for work that a signal cancelled.
int ExitStatusOrSignal(const absl::Status& status);

}  // namespace ssd

#endif  // TOOLS_INTERRUPT_H_
