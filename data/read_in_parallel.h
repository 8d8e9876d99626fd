#ifndef DATA_READ_IN_PARALLEL_H_
#define DATA_READ_IN_PARALLEL_H_

#include <cstddef>
#include <functional>

namespace ssd {

// Calls read(i) once for each i in [0, count), in no order, from at most `threads` threads, one of
// them the caller's; 0: as many as there are cores; fewer where the system gives no more. Returns
// when all have returned. What a call throws, the first if several do, is thrown here; no others
// are begun then.
void ReadInParallel(size_t count, size_t threads, const std::function<void(size_t)>& read);

// The same for calls that open a file or two and no more: from several threads where there are
// many.
void ReadInParallel(size_t count, const std::function<void(size_t)>& read);

}  // namespace ssd

#endif  // DATA_READ_IN_PARALLEL_H_
