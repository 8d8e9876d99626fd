#ifndef SSD_CORE_BATCH_SOURCE_H_
#define SSD_CORE_BATCH_SOURCE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/types.h"

namespace ssd {

// Where the trainer's batches come from. Not thread-safe. The batches of an epoch are a function of
// (seed, epoch) alone, so a resumed run sees what the interrupted one would have seen.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  // Batches in one epoch; > 0.
  virtual int64_t batches_per_epoch() const = 0;

  // Makes Next() yield the given epoch's batches from `first_batch` on. May be called at any time.
  // Preconditions: epoch >= 0, 0 <= first_batch <= batches_per_epoch().
  virtual absl::Status Start(int64_t epoch, int64_t first_batch) = 0;

  // The next batch, or nullopt at the end of the epoch. An error names the file at fault.
  virtual absl::StatusOr<std::optional<Batch>> Next() = 0;
};

}  // namespace ssd

#endif  // SSD_CORE_BATCH_SOURCE_H_
