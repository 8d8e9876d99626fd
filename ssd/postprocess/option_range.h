#ifndef SSD_POSTPROCESS_OPTION_RANGE_H_
#define SSD_POSTPROCESS_OPTION_RANGE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Ok if `in_range`. \error InvalidArgument naming the field ("soft_nms.sigma"), its value and its
// range ("> 0").
inline absl::Status CheckPostProcessorOption(bool in_range, absl::string_view field, double value,
                                             absl::string_view range) {
  if (in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("post_processor.", field, ": ", value, " must be ", range));
}

}  // namespace ssd

#endif  // SSD_POSTPROCESS_OPTION_RANGE_H_
