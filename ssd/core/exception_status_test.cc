#include "ssd/core/exception_status.h"

#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>

namespace ssd {
namespace {

TEST(ExceptionStatus, IsOneLine) {
  const absl::Status status =
      ExceptionStatus(std::runtime_error("could not create\n  a primitive descriptor\r\n"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(status.message(), "could not create a primitive descriptor");
}

TEST(ExceptionStatus, LeavesLibTorchsBacktraceOut) {
  try {
    TORCH_CHECK(false, "sizes differ:\n", 2, " and ", 3);
  } catch (const std::exception& error) {
    EXPECT_EQ(ExceptionStatus(error).message(), "sizes differ: 2 and 3");
  }
}

TEST(ExceptionStatus, KnowsThatMemoryRanOut) {
  const absl::Status status = ExceptionStatus(std::bad_alloc());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "out of memory");
}

}  // namespace
}  // namespace ssd
