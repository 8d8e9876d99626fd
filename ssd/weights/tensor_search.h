#ifndef SSD_WEIGHTS_TENSOR_SEARCH_H_
#define SSD_WEIGHTS_TENSOR_SEARCH_H_

#include <cstddef>
#include <string>
#include <unordered_set>

#include "absl/status/statusor.h"
#include "ssd/weights/pickle_value.h"

namespace ssd {

// Tells whether values of a pickle hold tensors, however deep. What is found to hold none is not
// looked at again, and there is a limit on how much is looked at in all.
class TensorSearch {
 public:
  enum Way {
    kNamed,  // by elements, items and states: tensors on these ways have names
    kAny,    // by what calls are given, too
  };

  // `path`, which must outlive it, names the file in errors.
  TensorSearch(const std::string& path, Way way) : path_(path), way_(way) {}

  // Whether a tensor, or a storage without one, is `value` or below it. \error InvalidArgument
  // naming the file and the byte, beyond the limit.
  absl::StatusOr<bool> Finds(const PickleValue& value);

 private:
  const std::string& path_;
  const Way way_;
  std::unordered_set<const PickleValue*> without_;
  size_t visits_ = 0;
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_TENSOR_SEARCH_H_
