#ifndef DATA_IDX_H_
#define DATA_IDX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ssd {

// An array of bytes, the last dimension fastest.
struct IdxArray {
  std::vector<int64_t> shape;
  std::vector<uint8_t> values;
};

// Reads an IDX file of unsigned bytes, plain or gzip, the format of MNIST
// (http://yann.lecun.com/exdb/mnist/): two zero bytes, type 0x08, rank, the dimensions as 32-bit
// big-endian numbers, the values. Memory grows with what the file holds, whatever its header says.
// \error NotFound; InvalidArgument for another format, type or rank, for dimensions of 0 or above
// kMaxIdxBytes in all; DataLoss for fewer or more values than announced; each names the file.
absl::StatusOr<IdxArray> ReadIdx(const std::string& path);

inline constexpr int64_t kMaxIdxBytes = int64_t{1} << 30;

}  // namespace ssd

#endif  // DATA_IDX_H_
