#ifndef SSD_BACKBONES_FROZEN_STAGES_H_
#define SSD_BACKBONES_FROZEN_STAGES_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ssd {

// \error InvalidArgument naming backbone.`kind`.frozen_stages when it is not in [0, num_stages].
absl::Status CheckFrozenStages(absl::string_view kind, int frozen_stages, int num_stages);

}  // namespace ssd

#endif  // SSD_BACKBONES_FROZEN_STAGES_H_
