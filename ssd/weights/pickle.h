#ifndef SSD_WEIGHTS_PICKLE_H_
#define SSD_WEIGHTS_PICKLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// One value of a pickle. Values may be shared, and may refer to each other in circles.
struct PickleValue {
  enum Kind {
    kNone,
    kBool,
    kInteger,
    kLongInteger,  // beyond 64 bits
    kReal,
    kString,
    kBytes,
    kTuple,
    kList,
    kSet,
    kDict,        // also OrderedDict, defaultdict
    kGlobal,      // a class or function, by name alone
    kPersistent,  // what stands outside the pickle; PyTorch's storages
    kObject,      // an instance of a class, or what a function would return
  };

  Kind kind = kNone;
  int64_t integer = 0;  // kBool, kInteger
  double real = 0;      // kReal
  // kString, kBytes; kLongInteger: two's complement, lowest byte first; kGlobal: the module.
  absl::string_view text;
  absl::string_view name;  // kGlobal: the name in its module
  // kTuple, kList, kSet: the elements. kDict, kObject: key, value, key, value, ...
  std::vector<PickleValue*> items;
  PickleValue* callable = nullptr;   // kObject: the class or function, kGlobal or kPersistent
  PickleValue* arguments = nullptr;  // kObject: a tuple; kPersistent: the id
  PickleValue* state = nullptr;      // kObject, kDict: what BUILD gives; null without
  size_t position = 0;               // byte of the file
};

// The values of a pickle (protocols 2 to 5; Python's Lib/pickletools.py describes the opcodes),
// read without Python: nothing that a pickle names is ever looked up or called. Instances of
// classes are records of their class's name and state. Functions are known by name: the few that
// only make values (OrderedDict, set, torch.Size, PyTorch's _rebuild_...) make a value or a record,
// and any other call is an error.
//
// Safe on bytes of any origin: no recursion, at most kMaxValues values, memory within a constant
// factor of the bytes read.
class Pickle {
 public:
  static constexpr size_t kMaxValues = 2'000'000;

  // Reads the pickle that starts at byte `begin` of `file`, which must outlive the result; `path`
  // names it in errors. \error naming the file and the byte: DataLoss when it is cut off or
  // corrupt; InvalidArgument for calls of unknown functions, other protocols and too many values.
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

// Whether `value` is the class or function `module`.`name`.
bool IsGlobal(const PickleValue& value, absl::string_view module, absl::string_view name);

// "module.name" of a kGlobal, for messages; "something" for any other.
std::string GlobalName(const PickleValue& value);

// The value of a kDict's or kObject's key, null where there is none.
const PickleValue* FindItem(const PickleValue& value, absl::string_view key);

}  // namespace ssd

#endif  // SSD_WEIGHTS_PICKLE_H_
