#include "data/read_in_parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

TEST(ReadInParallelTest, CallsEachIndexOnce) {
  for (const size_t count : {0, 1, 7, 2000}) {
    std::vector<std::atomic<int>> calls(count);
    ReadInParallel(count, [&](size_t i) { ++calls[i]; });
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(calls[i].load(), 1) << i << " of " << count;
  }
}

TEST(ReadInParallelTest, TakesNoMoreThreadsThanGiven) {
  for (const size_t threads : {0, 1, 2, 5}) {
    for (const size_t count : {0, 1, 3, 500}) {
      SCOPED_TRACE(absl::StrCat(count, " by ", threads));
      std::vector<std::atomic<int>> calls(count);
      std::mutex mutex;
      std::set<std::thread::id> by;
      ReadInParallel(count, threads, [&](size_t i) {
        ++calls[i];
        const std::lock_guard<std::mutex> lock(mutex);
        by.insert(std::this_thread::get_id());
      });
      for (size_t i = 0; i < count; ++i) EXPECT_EQ(calls[i].load(), 1) << i;
      EXPECT_LE(by.size(), threads == 0 ? count : std::min(threads, count));
      if (threads == 1 && count > 0) {
        EXPECT_EQ(by, std::set<std::thread::id>{std::this_thread::get_id()});
      }
    }
  }
}

TEST(ReadInParallelTest, ThrowsToItsCaller) {
  for (const size_t threads : {1, 4}) {
    SCOPED_TRACE(threads);
    std::atomic<size_t> calls{0};
    try {
      // So many that they would not end in time, were the others not stopped.
      ReadInParallel(size_t{1} << 40, threads, [&calls](size_t i) {
        ++calls;
        if (i == 3) throw std::runtime_error("cannot read 3");
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "cannot read 3");
    }
    EXPECT_GE(calls.load(), 4u);
    if (threads == 1) {
      EXPECT_EQ(calls.load(), 4u);
    }
  }
  // Each thread its own.
  EXPECT_THROW(ReadInParallel(50, 5, [](size_t) { throw std::runtime_error("all"); }),
               std::runtime_error);
}

}  // namespace
}  // namespace ssd
