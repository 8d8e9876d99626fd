#ifndef SSD_CORE_BATCH_SOURCE_H_
#define SSD_CORE_BATCH_SOURCE_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ssd/core/types.h"

namespace ssd {

// What making batches took, as sums since their source was made. Seconds of threads add up. For
// people to look at: other threads and clocks than a run's result depends on.
struct BatchSourceStatistics {
  int64_t samples = 0;           // made
  double decode_seconds = 0;     // of them: reading and decoding images
  double transform_seconds = 0;  // everything else
  int64_t batches = 0;           // asked for
  int64_t ready_batches = 0;     // that were ready when one was asked for, summed over these
  int64_t cache_hits = 0;        // images that were in memory; both 0 without a cache
  int64_t cache_misses = 0;      // and that were not
  int64_t cache_bytes = 0;       // held now
  int64_t skipped_images = 0;    // different ones that could not be read
};

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

  // May be called from any thread. All 0 where a source does not count.
  virtual BatchSourceStatistics statistics() const { return {}; }
};

}  // namespace ssd

#endif  // SSD_CORE_BATCH_SOURCE_H_
