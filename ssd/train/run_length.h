#ifndef SSD_TRAIN_RUN_LENGTH_H_
#define SSD_TRAIN_RUN_LENGTH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "ssd/train/trainer.pb.h"

namespace ssd {

// \error InvalidArgument naming the field, its value and what would be right.
absl::Status ValidateTrainerConfig(const TrainerConfig& config);

// A run in optimizer steps. Step s (from 0) takes batches s * accumulate_steps and following of the
// endless row of epochs, so a step may reach across the end of an epoch.
struct RunLength {
  int64_t total_steps = 0;
  double steps_per_epoch = 0;  // may have a fraction
};

// Of a valid config. Epochs that are no whole number of steps are rounded up.
RunLength LengthOfRun(const TrainerConfig& config, int64_t batches_per_epoch);

}  // namespace ssd

#endif  // SSD_TRAIN_RUN_LENGTH_H_
