#include "experiments/trace_truth.h"

#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "experiments/truth_life.h"
#include "experiments/truth_life_picture.h"
#include "experiments/truth_life_text.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/report/picture_sheet.h"

namespace ssd {

absl::StatusOr<TruthTrace> TraceTruth(const Experiment& experiment, const TraceOptions& options) {
  if (options.tile < 32 || options.tile > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tile=", options.tile, ": must be 32 to 4096"));
  }
  SSD_ASSIGN_OR_RETURN(const TruthLife life, FollowTruth(experiment, options));
  TruthTrace trace;
  trace.text = TruthLifeText(life);
  if (options.output.empty()) return trace;
  SSD_ASSIGN_OR_RETURN(const PictureSheet sheet,
                       TruthLifeSheet(life, static_cast<int>(options.tile)));
  std::error_code error;
  std::filesystem::create_directories(options.output, error);
  if (error) return FileError(error.value(), "cannot make the folder", options.output);
  trace.picture = (std::filesystem::path(options.output) / "trace.png").string();
  SSD_RETURN_IF_ERROR(WriteSheet(trace.picture, sheet));
  return trace;
}

}  // namespace ssd
