#ifndef DATA_BATCH_LOADER_H_
#define DATA_BATCH_LOADER_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/dataset.h"
#include "data/image_cache.h"
#include "data/transforms/transform.h"
#include "ssd/core/batch_source.h"

namespace ssd {

struct BatchLoaderOptions {
  // model.input's size; what the transforms must arrive at.
  ImageSize input;
  int64_t batch_size = 32;
  // G, fixed for the run. 0: PaddedTruthCount(dataset).
  int64_t max_truths = 0;
  uint64_t seed = 0;
  // A new order every epoch. Otherwise the dataset's.
  bool shuffle = false;
  // Leaves out the last batch if it is short, so that all have one shape: for training.
  bool drop_last = false;
  // Goes on to the next epoch's first batches when an epoch has been prepared. Off for evaluation,
  // which is over after one.
  bool prefetch_next_epoch = true;
  // Threads that make samples; 0: the thread that calls Next(); -1: as many as there are cores.
  int workers = -1;
  // Batches made ahead. No effect without workers.
  int prefetch_batches = 4;
  // Budget of decoded images kept in memory.
  int64_t cache_megabytes = 0;
  // Page-locked memory, from which copies to a GPU are asynchronous. Needs CUDA.
  bool pin_memory = false;
};

// Sums since the loader was made. Seconds of workers add up over threads.
struct LoaderStatistics {
  double wait_seconds = 0;       // that Next() let its caller wait
  double decode_seconds = 0;     // in ImageSource::Decode
  double transform_seconds = 0;  // everything else a sample takes
  int64_t samples = 0;           // made
  int64_t ready_batches = 0;     // finished, waiting for Next(), now
  ImageCache::Statistics cache;
};

// The largest number of objects in an image of the dataset, rounded up to a multiple of 8; at
// least 8. Reads all annotations. \error from the dataset.
absl::StatusOr<int64_t> PaddedTruthCount(const Dataset& dataset);

// Makes batches of a dataset's transformed samples on threads of its own. A batch depends on (seed,
// epoch, index in the epoch) alone: it is equal in every bit for any number of workers, whatever
// was asked for before. Pixels are rendered straight into the batch's memory. At most
// prefetch_batches batches are held beside the one last handed out. Does not normalise or move to a
// device.
//
// Sets cv::setNumThreads(0) for the whole program: its workers are the parallelism.
class BatchLoader : public BatchSource {
 public:
  // `dataset` outlives the loader.
  // \error InvalidArgument naming option, value and remedy, also for a dataset with fewer images
  // than one batch if drop_last; from the dataset's annotations if max_truths is 0.
  static absl::StatusOr<std::unique_ptr<BatchLoader>> Create(
      const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
      const BatchLoaderOptions& options);

  // Lets every worker finish its current sample.
  ~BatchLoader() override;

  int64_t batches_per_epoch() const override { return batches_per_epoch_; }

  absl::Status Start(int64_t epoch, int64_t first_batch) override;

  // \error names the image's file; repeated until Start() is called again. Precondition: Start()
  // was called.
  absl::StatusOr<std::optional<Batch>> Next() override;

  // G.
  int64_t max_truths() const { return options_.max_truths; }

  // May be called from any thread.
  LoaderStatistics statistics() const;

 private:
  // A batch on its way: its samples are claimed one by one by the workers.
  struct Assembly;
  struct Position {
    int64_t epoch = 0;
    int64_t batch = 0;
  };

  BatchLoader(const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
              const BatchLoaderOptions& options);

  void Work();
  // These require mutex_ to be held; MakeNextSample releases it while it works.
  bool HasWork() const;
  bool CanSchedule() const;
  void Schedule();
  void MakeNextSample(std::unique_lock<std::mutex>& lock);
  const std::vector<int64_t>& Order(int64_t epoch);

  void Allocate(Assembly& assembly) const;
  // Sample `row` of the batch; reads and writes nothing that another thread writes.
  absl::Status MakeSample(Assembly& assembly, size_t row, double* decode_seconds);

  const Dataset& dataset_;
  const std::vector<std::unique_ptr<Transform>> transforms_;
  const BatchLoaderOptions options_;
  const int64_t batches_per_epoch_;
  ImageCache cache_;

  mutable std::mutex mutex_;
  std::condition_variable work_;   // there may be something to do
  std::condition_variable ready_;  // the first assembly may be finished
  bool stopping_ = false;
  bool started_ = false;
  Position next_;       // what Next() hands out
  Position scheduled_;  // what comes after the last of assemblies_
  std::deque<std::shared_ptr<Assembly>> assemblies_;
  int64_t order_epoch_ = -1;
  std::vector<int64_t> order_;
  LoaderStatistics statistics_;

  std::vector<std::thread> workers_;
};

}  // namespace ssd

#endif  // DATA_BATCH_LOADER_H_
