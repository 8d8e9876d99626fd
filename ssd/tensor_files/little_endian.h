#ifndef SSD_TENSOR_FILES_LITTLE_ENDIAN_H_
#define SSD_TENSOR_FILES_LITTLE_ENDIAN_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace ssd {

// The unsigned number that `bytes`, at most 8 of them, are: lowest byte first.
inline uint64_t FromLittleEndian(absl::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

// Appends the lowest `width` bytes of `number`, lowest first.
inline void AppendLittleEndian(uint64_t number, size_t width, std::string& bytes) {
  for (size_t i = 0; i < width; ++i) bytes.push_back(static_cast<char>(number >> (8 * i) & 0xff));
}

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_LITTLE_ENDIAN_H_
