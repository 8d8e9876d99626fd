#ifndef SSD_WEIGHTS_PICKLE_H_
#define SSD_WEIGHTS_PICKLE_H_

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/weights/pickle_value.h"

namespace ssd {

// The values of a pickle (protocols 2 to 5; Python's Lib/pickletools.py describes the opcodes),
// read without Python: nothing that a pickle names is ever looked up or called. A few functions
// that only make containers (OrderedDict, set, deque, torch.Size, ...) are known by name, and their
// calls make these; every other call, and every instance of a class, is a record of the name, the
// arguments and the state, whatever they are.
//
// Safe on bytes of any origin: no recursion, at most kMaxValues values, memory within a constant
// factor of the bytes read.
class Pickle {
 public:
  static constexpr size_t kMaxValues = 2'000'000;

  // Reads the pickle that starts at byte `begin` of `file`, which must outlive the result; `path`
  // names it in errors. \error naming the file and the byte: DataLoss when it is cut off or
  // corrupt; InvalidArgument for other protocols and too many values.
  static absl::StatusOr<Pickle> Parse(absl::string_view file, const std::string& path,
                                      size_t begin = 0);

  // Values know each other by address: movable, not copyable.
  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;

  const PickleValue& root() const { return *root_; }
  // The byte of the file behind it.
  size_t end() const { return end_; }
  // Every kPersistent value, in order.
  const std::vector<const PickleValue*>& persistent() const { return persistent_; }

 private:
  friend class Unpickler;

  Pickle() = default;

  std::deque<PickleValue> values_;
  const PickleValue* root_ = nullptr;
  size_t end_ = 0;
  std::vector<const PickleValue*> persistent_;
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_PICKLE_H_
