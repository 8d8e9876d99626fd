#include "ssd/train/run_length.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

absl::Status Check(absl::string_view field, double value, bool in_range,
                   absl::string_view requirement) {
  if (in_range) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("trainer.", field, ": ", value, " must be ", requirement));
}

}  // namespace

absl::Status ValidateTrainerConfig(const TrainerConfig& config) {
  switch (config.length_case()) {
    case TrainerConfig::kEpochs:
      SSD_RETURN_IF_ERROR(Check("epochs", config.epochs(),
                                config.epochs() > 0 && config.epochs() < 1e9, "> 0 and finite"));
      break;
    case TrainerConfig::kSteps:
      SSD_RETURN_IF_ERROR(Check("steps", config.steps(), config.steps() > 0, "> 0"));
      break;
    case TrainerConfig::LENGTH_NOT_SET:
      return absl::InvalidArgumentError("trainer: set epochs or steps");
  }
  SSD_RETURN_IF_ERROR(
      Check("gradient_clip_norm", config.gradient_clip_norm(),
            config.gradient_clip_norm() >= 0 && std::isfinite(config.gradient_clip_norm()),
            ">= 0 and finite; 0 never clips"));
  SSD_RETURN_IF_ERROR(
      Check("accumulate_steps", config.accumulate_steps(), config.accumulate_steps() >= 1, ">= 1"));
  SSD_RETURN_IF_ERROR(Check("ema.decay", config.ema().decay(),
                            config.ema().decay() > 0 && config.ema().decay() < 1, "in (0, 1)"));
  SSD_RETURN_IF_ERROR(Check("log_every", config.log_every(), config.log_every() >= 1, ">= 1"));
  SSD_RETURN_IF_ERROR(Check("checkpoint_every", config.checkpoint_every(),
                            config.checkpoint_every() >= 0,
                            ">= 0; 0 means at evaluations and at the end"));
  SSD_RETURN_IF_ERROR(
      Check("checkpoint_seconds", config.checkpoint_seconds(),
            config.checkpoint_seconds() >= 0 && std::isfinite(config.checkpoint_seconds()),
            ">= 0 seconds; 0 means never"));
  SSD_RETURN_IF_ERROR(Check("evaluate_every", config.evaluate_every(), config.evaluate_every() >= 0,
                            ">= 0; 0 means at the end"));
  return Check("time_limit", config.time_limit(),
               config.time_limit() >= 0 && std::isfinite(config.time_limit()),
               ">= 0 seconds; 0 means none");
}

RunLength LengthOfRun(const TrainerConfig& config, int64_t batches_per_epoch) {
  CHECK_GT(batches_per_epoch, 0);
  RunLength length;
  length.steps_per_epoch =
      static_cast<double>(batches_per_epoch) / static_cast<double>(config.accumulate_steps());
  if (config.length_case() == TrainerConfig::kSteps) {
    length.total_steps = config.steps();
  } else {
    // 1e-6: a whole number up to rounding is a whole number.
    const double steps = config.epochs() * length.steps_per_epoch;
    length.total_steps = std::max<int64_t>(1, std::llround(std::ceil(steps - 1e-6)));
  }
  return length;
}

}  // namespace ssd
