#include "ssd/backbones/frozen_stages.h"

#include "absl/strings/str_cat.h"

namespace ssd {

absl::Status CheckFrozenStages(absl::string_view kind, int frozen_stages, int num_stages) {
  if (frozen_stages >= 0 && frozen_stages <= num_stages) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("backbone.", kind, ".frozen_stages: ", frozen_stages, " must be in [0, ",
                   num_stages, "]; leave it out to train all"));
}

}  // namespace ssd
