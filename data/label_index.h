#ifndef DATA_LABEL_INDEX_H_
#define DATA_LABEL_INDEX_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Finds labels by class name, in the experiment's order. Does not collect names.
class LabelIndex {
 public:
  // \error InvalidArgument for a name that is empty or given twice.
  static absl::StatusOr<LabelIndex> Create(const std::vector<std::string>& names);

  // 1..C. \error InvalidArgument "<where>: class 'x' is not among ...".
  absl::StatusOr<int64_t> Find(absl::string_view name, absl::string_view where) const;

 private:
  std::map<std::string, int64_t, std::less<>> labels_;
};

}  // namespace ssd

#endif  // DATA_LABEL_INDEX_H_
