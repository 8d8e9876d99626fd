#include "data/read_in_parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace ssd {
namespace {

size_t Cores() { return std::max<size_t>(std::thread::hardware_concurrency(), 1); }

}  // namespace

void ReadInParallel(size_t count, size_t threads, const std::function<void(size_t)>& read) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) read(i);
  };
  const size_t wanted = std::min(threads == 0 ? Cores() : threads, count);
  std::vector<std::thread> others;
  for (size_t i = 1; i < wanted; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

void ReadInParallel(size_t count, const std::function<void(size_t)>& read) {
  constexpr size_t kMostThreads = 8;
  constexpr size_t kFilesWorthAThread = 200;
  ReadInParallel(count, std::min({1 + count / kFilesWorthAThread, Cores(), kMostThreads}), read);
}

}  // namespace ssd
