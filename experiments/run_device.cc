#include "experiments/run_device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <sched.h>

#include <algorithm>
#include <opencv2/core/utility.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ssd {
namespace {

constexpr int64_t kAlwaysAllowedThreads = 1024;

int64_t CudaDevices() { return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0; }

// Cores this process may run on, which a container or taskset can limit.
int64_t UsableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

}  // namespace

absl::StatusOr<c10::Device> SelectDevice(const std::string& name) {
  const int64_t cuda_devices = CudaDevices();
  if (name == "auto") return c10::Device(cuda_devices > 0 ? c10::kCUDA : c10::kCPU);
  if (name == "cpu") return c10::Device(c10::kCPU);
  absl::string_view rest = name;
  int64_t index = 0;
  const bool cuda = absl::ConsumePrefix(&rest, "cuda") &&
                    (rest.empty() || (absl::ConsumePrefix(&rest, ":") &&
                                      absl::SimpleAtoi(rest, &index) && index >= 0));
  if (!cuda) {
    return absl::InvalidArgumentError(
        absl::StrCat("--device='", name, "': must be auto, cpu, cuda or cuda:N"));
  }
  if (index >= cuda_devices) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--device='", name, "': this program sees ", cuda_devices, " CUDA devices",
        at::hasCUDA() ? ""
                      : "; build it with --config=cuda and run it on a machine with a driver"));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

absl::StatusOr<int64_t> SetThreads(int64_t threads) {
  const int64_t cores = UsableCores();
  // More cannot help, and very many bring the machine to a stand.
  const int64_t most = std::max(kAlwaysAllowedThreads, 4 * cores);
  if (threads < 0 || threads > most) {
    return absl::InvalidArgumentError(absl::StrCat("--threads=", threads, ": must be 1 to ", most,
                                                   ", or 0 for all ", cores, " cores"));
  }
  if (threads == 0) threads = cores;
  at::set_num_threads(static_cast<int>(threads));
  cv::setNumThreads(0);
  return threads;
}

}  // namespace ssd
