#include "data/transforms/fill_color.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<cv::Scalar> FillColor(absl::string_view field,
                                     const google::protobuf::RepeatedField<double>& rgb,
                                     const TransformContext& context) {
  if (rgb.empty()) return cv::Scalar(context.fill[0], context.fill[1], context.fill[2]);
  if (rgb.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, ": ", rgb.size(), " values; set three, red, green and blue, or none for the mean"));
  }
  for (int channel = 0; channel < 3; ++channel) {
    SSD_RETURN_IF_ERROR(
        CheckRange(absl::StrCat(field, "[", channel, "]"), rgb.Get(channel), 0, 255));
  }
  return cv::Scalar(rgb.Get(0), rgb.Get(1), rgb.Get(2));
}

}  // namespace ssd
