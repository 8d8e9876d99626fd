#ifndef SSD_TRAIN_CHECKPOINT_H_
#define SSD_TRAIN_CHECKPOINT_H_

#include <c10/core/Device.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/types.h"
#include "ssd/model/tensor_archive.h"
#include "ssd/train/checkpoint.pb.h"

namespace ssd {

using StateTensors = std::vector<std::pair<std::string, Tensor>>;

// Everything a run needs to go on as if it had never stopped (checkpoints/last.pt). Not what people
// take away from a run: that is best.pt, ssd/model/model_file.h.
struct Checkpoint {
  CheckpointState state;
  std::string config_text;  // the resolved experiment
  StateTensors model;       // parameters and persistent buffers
  StateTensors average;     // of the parameters; empty without ema
  StateTensors optimizer;   // Optimizer::State
  Tensor cpu_random_state;
  Tensor device_random_state;  // undefined when training on the CPU
};

// Replaces the file whole or not at all. \error naming the file: ResourceExhausted when the disk is
// full; the old file is intact then.
absl::Status WriteCheckpoint(const std::string& path, const Checkpoint& checkpoint);

// Adds what WriteCheckpoint writes, for files that hold more.
void AddCheckpoint(const Checkpoint& checkpoint, TensorArchiveWriter& archive);

// The checkpoint in a file, whatever else is in it.
// \error naming the file: NotFound; InvalidArgument when it is no checkpoint; DataLoss when it is
// corrupt.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& path);

// \error FailedPrecondition if the run of `checkpoint` had another config, other data or the other
// kind of device: names `path` and shows the first line of the config that differs.
absl::Status CheckSameRun(const Checkpoint& checkpoint, const std::string& path,
                          absl::string_view config_text, absl::string_view data_digest,
                          at::Device device);

}  // namespace ssd

#endif  // SSD_TRAIN_CHECKPOINT_H_
