#ifndef SSD_TENSOR_FILES_ELEMENT_COUNT_H_
#define SSD_TENSOR_FILES_ELEMENT_COUNT_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace ssd {

// How many elements a tensor of a shape that a file states has. nullopt where LibTorch could not
// make it, of elements of up to 16 bytes: a negative extent, or a product beyond all numbers, which
// strides reach even where another extent is 0.
inline std::optional<int64_t> ElementCount(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  bool is_empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    is_empty |= extent == 0;
    const int64_t factor = std::max<int64_t>(extent, 1);
    if (count > std::numeric_limits<int64_t>::max() / 16 / factor) return std::nullopt;
    count *= factor;
  }
  return is_empty ? 0 : count;
}

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_ELEMENT_COUNT_H_
