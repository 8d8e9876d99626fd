#ifndef DATA_TRANSFORMS_OPTION_RANGE_H_
#define DATA_TRANSFORMS_OPTION_RANGE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Ok if `value` lies in [low, high]; NaN does not. \error InvalidArgument naming field, value and
// range. `low` may be infinite, as may `high`.
inline absl::Status CheckRange(absl::string_view field, double value, double low, double high) {
  if (low <= value && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is outside [", low, ", ",
                                                 high, "]; set a value in that range"));
}

}  // namespace ssd

#endif  // DATA_TRANSFORMS_OPTION_RANGE_H_
