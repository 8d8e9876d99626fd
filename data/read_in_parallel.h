#ifndef DATA_READ_IN_PARALLEL_H_
#define DATA_READ_IN_PARALLEL_H_

#include <cstddef>
#include <functional>

namespace ssd {

// Calls read(i) once for each i in [0, count), which opens a file or two: from several threads
// where there are many, in no order. Returns when all have returned.
void ReadInParallel(size_t count, const std::function<void(size_t)>& read);

}  // namespace ssd

#endif  // DATA_READ_IN_PARALLEL_H_
