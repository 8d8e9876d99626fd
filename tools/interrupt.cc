#include "tools/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "tools/command_line.h"

namespace ssd {
namespace {

std::atomic<int> received{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may only use lock-free types");

void OnSignal(int number) {
  int none = 0;
  if (!received.compare_exchange_strong(none, number)) _exit(128 + number);
}

}  // namespace

const std::atomic<int>& CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  return received;
}

int ExitStatusOrSignal(const absl::Status& status) {
  const int exit_status = ExitStatus(status);
  const int number = received;
  return absl::IsCancelled(status) && number != 0 ? 128 + number : exit_status;
}

}  // namespace ssd
