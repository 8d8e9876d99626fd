#include "data/read_in_parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ssd {
namespace {

size_t Cores() { return std::max<size_t>(std::thread::hardware_concurrency(), 1); }

}  // namespace

void ReadInParallel(size_t count, size_t threads, const std::function<void(size_t)>& read) {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < count; i = next++) read(i);
    } catch (...) {
      next = count;
      const std::lock_guard<std::mutex> lock(mutex);
      if (thrown == nullptr) thrown = std::current_exception();
    }
  };
  const size_t wanted = std::min(threads == 0 ? Cores() : threads, count);
  std::vector<std::thread> others;
  try {
    for (size_t i = 1; i < wanted; ++i) others.emplace_back(work);
  } catch (const std::exception&) {
    // No more threads, or no memory for one: those there are do the work.
  }
  work();
  for (std::thread& other : others) other.join();
  if (thrown != nullptr) std::rethrow_exception(thrown);
}

void ReadInParallel(size_t count, const std::function<void(size_t)>& read) {
  constexpr size_t kMostThreads = 8;
  constexpr size_t kFilesWorthAThread = 200;
  ReadInParallel(count, std::min({1 + count / kFilesWorthAThread, Cores(), kMostThreads}), read);
}

}  // namespace ssd
