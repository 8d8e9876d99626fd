#include "experiments/run_device.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(SetThreads, SetsWhatIsAsked) {
  EXPECT_EQ(SetThreads(2).value(), 2);
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(SetThreads, TakesAllCoresWhereNoneAreAskedFor) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  ASSERT_EQ(sched_getaffinity(0, sizeof(cores), &cores), 0);
  EXPECT_EQ(SetThreads(0).value(), CPU_COUNT(&cores));
  EXPECT_EQ(at::get_num_threads(), CPU_COUNT(&cores));
}

TEST(SetThreads, RefusesWhatNoMachineHas) {
  ASSERT_TRUE(SetThreads(1).ok());
  for (const int64_t threads :
       {int64_t{-1}, int64_t{200000}, int64_t{3000000000}, std::numeric_limits<int64_t>::max()}) {
    const absl::Status status = SetThreads(threads).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << threads;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith(absl::StrCat("--threads=", threads, ": must be 1 to ")),
                      HasSubstr("or 0 for all")));
  }
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST(SelectDevice, NamesWhatThereIs) {
  EXPECT_TRUE(SelectDevice("auto").ok());
  EXPECT_TRUE(SelectDevice("cpu")->is_cpu());
  for (const char* name : {"", "tpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"}) {
    EXPECT_EQ(SelectDevice(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(SelectDevice("cuda:1000").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ssd
