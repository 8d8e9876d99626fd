#ifndef SSD_BACKBONES_BLANK_MAPS_H_
#define SSD_BACKBONES_BLANK_MAPS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"
#include "ssd/layers/norm.h"

namespace ssd {

// \error InvalidArgument naming backbone.`kind`.norm where `map`, which images of the size `input`
// make, has one cell, of which a norm of this kind leaves nothing (Norm::BlanksOneCell).
absl::Status CheckNormLeavesMap(absl::string_view kind, NormKind norm, const FeatureSpec& map,
                                ImageSize input);

}  // namespace ssd

#endif  // SSD_BACKBONES_BLANK_MAPS_H_
