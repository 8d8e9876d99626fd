#ifndef DATA_DIGEST_H_
#define DATA_DIGEST_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ssd/core/annotations.h"

namespace ssd {

// A 64-bit digest of the values added, in their order (FNV-1a; Fowler, Noll, Vo). Tells data sets
// apart; no protection against somebody who wants two to be equal.
class Digest {
 public:
  // A string of bytes with its length, so that "ab", "c" differs from "a", "bc".
  Digest& AddBytes(absl::string_view bytes);
  Digest& AddInteger(int64_t value);
  Digest& AddNumber(double value);
  Digest& AddLabels(const LabelMap& labels);
  Digest& AddAnnotations(const Annotations& annotations);

  // 16 hex digits.
  std::string Hex() const;

 private:
  void AddByte(uint8_t byte);

  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace ssd

#endif  // DATA_DIGEST_H_
