#ifndef DATA_TRANSFORMS_FILL_COLOR_H_
#define DATA_TRANSFORMS_FILL_COLOR_H_

#include <google/protobuf/repeated_field.h>

#include <opencv2/core.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/transforms/transform.h"

namespace ssd {

// The colour of what lies outside an image: `rgb` (red, green, blue; 0-255), or context.fill where
// it is empty. \error InvalidArgument naming `field` unless `rgb` has none or three such values.
absl::StatusOr<cv::Scalar> FillColor(absl::string_view field,
                                     const google::protobuf::RepeatedField<double>& rgb,
                                     const TransformContext& context);

}  // namespace ssd

#endif  // DATA_TRANSFORMS_FILL_COLOR_H_
