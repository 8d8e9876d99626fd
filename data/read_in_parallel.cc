#include "data/read_in_parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace ssd {

void ReadInParallel(size_t count, const std::function<void(size_t)>& read) {
  constexpr size_t kMostThreads = 8;
  constexpr size_t kFilesWorthAThread = 200;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) read(i);
  };
  const size_t cores = std::max<size_t>(std::thread::hardware_concurrency(), 1);
  const size_t wanted = 1 + count / kFilesWorthAThread;
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min({wanted, cores, kMostThreads}); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace ssd
