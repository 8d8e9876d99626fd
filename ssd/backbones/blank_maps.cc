#include "ssd/backbones/blank_maps.h"

#include "absl/strings/str_cat.h"

namespace ssd {

absl::Status CheckNormLeavesMap(absl::string_view kind, NormKind norm, const FeatureSpec& map,
                                ImageSize input) {
  const bool is_blank = map.height * map.width == 1 && Norm::BlanksOneCell(norm, map.channels);
  if (!is_blank) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "backbone.", kind, ".norm: GROUP_NORM leaves nothing of a map of one cell whose ",
      map.channels, " channels are a group each, and an input of ", input.height, "x", input.width,
      " makes one; use a larger input, a larger backbone.", kind, ".width, or norm: BATCH_NORM"));
}

}  // namespace ssd
