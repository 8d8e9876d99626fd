#ifndef SSD_WEIGHTS_PICKLE_VALUE_H_
#define SSD_WEIGHTS_PICKLE_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
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
    kList,  // also deque
    kSet,
    kDict,        // also OrderedDict, defaultdict
    kGlobal,      // a class or function, by name alone
    kPersistent,  // what stands outside the pickle; PyTorch's storages
    kObject,      // an instance of a class, or what a call would return: a record of it
  };

  Kind kind = kNone;
  int64_t integer = 0;  // kBool, kInteger
  double real = 0;      // kReal
  // kString, kBytes; kLongInteger: two's complement, lowest byte first; kGlobal: the module.
  absl::string_view text;
  absl::string_view name;  // kGlobal: the name in its module
  // kTuple, kList, kSet: the elements. kDict, kObject: key, value, key, value, ...; the elements of
  // an object that is also a list have the keys 0, 1, ...
  std::vector<PickleValue*> items;
  PickleValue* callable = nullptr;   // kObject: a kGlobal, kPersistent or kObject
  PickleValue* arguments = nullptr;  // kObject: of the call; kPersistent: the id
  PickleValue* state = nullptr;      // kObject, kDict: what BUILD gives; null without
  size_t position = 0;               // byte of the file
};

// Whether `value` is the class or function `module`.`name`.
bool IsGlobal(const PickleValue& value, absl::string_view module, absl::string_view name);

// "module.name" of a kGlobal, for messages; "something" for any other.
std::string GlobalName(const PickleValue& value);

// The value of a kDict's or kObject's key, null where there is none.
const PickleValue* FindItem(const PickleValue& value, absl::string_view key);

// The place of a value in the file `path`, which must outlive it, for errors.
class PicklePlace {
 public:
  PicklePlace(const std::string& path, const PickleValue& value)
      : path_(path), position_(value.position) {}

  // DataLoss.
  absl::Status Corrupt(absl::string_view what) const;
  // InvalidArgument.
  absl::Status Refuse(absl::string_view what) const;

 private:
  const std::string& path_;
  size_t position_;
};

}  // namespace ssd

#endif  // SSD_WEIGHTS_PICKLE_VALUE_H_
