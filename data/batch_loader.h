#ifndef DATA_BATCH_LOADER_H_
#define DATA_BATCH_LOADER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "data/dataset.h"
#include "data/image_cache.h"
#include "data/sample_order.h"
#include "data/transforms/transform.h"
#include "ssd/core/batch_source.h"

namespace ssd {

// More threads than this a system may not start, and more batches no memory holds.
inline constexpr int kMostLoaderWorkers = 1024;
inline constexpr int kMostPrefetchBatches = 1024;

// What becomes of an image that cannot be read. Only a fault of the image's own counts as that
// (IsBadImage, image_header.h); any other error is Next()'s.
enum class BadImages {
  kFail,     // Next() returns the error
  kReplace,  // the next image of the epoch takes its place and its random numbers: for training
  kLeaveOut  // the batch has a row less: for evaluation
};

struct BatchLoaderOptions {
  // model.input's size; what the transforms must arrive at.
  ImageSize input;
  // Over all processes.
  int64_t batch_size = 32;
  // This process, and how many there are; each makes its own rows of every batch: those whose place
  // in it leaves `rank` over when divided by `world`.
  int64_t rank = 0;
  int64_t world = 1;
  // G, fixed for the run. 0: PaddedTruthCount(dataset).
  int64_t max_truths = 0;
  uint64_t seed = 0;
  // A new order every epoch. Otherwise the dataset's.
  bool shuffle = false;
  // Only with `shuffle`.
  SamplingConfig sampling;
  // Leaves out the last batch if it is short, so that all have one shape: for training.
  bool drop_last = false;
  BadImages bad_images = BadImages::kFail;
  // That the dataset left out when it was opened (DatasetContext::bad_images); counted with those
  // met later.
  int64_t images_left_out = 0;
  // Goes on to the next epoch's first batches when an epoch has been prepared. Off for evaluation,
  // which is over after one.
  bool prefetch_next_epoch = true;
  // Threads that make samples; 0: the thread that calls Next(); -1: as many as there are cores.
  int workers = -1;
  // Batches made ahead. No effect without workers.
  int prefetch_batches = 4;
  // Budget of images kept in memory.
  int64_t cache_megabytes = 0;
  LoaderConfig::Cache::Content cache_content = LoaderConfig::Cache::DECODED;
  // LazyImage::RenderTo's: 1, 2, 4 or 8.
  int max_decode_reduction = 1;
  // Page-locked memory, from which copies to a GPU are asynchronous. Needs CUDA.
  bool pin_memory = false;
};

// The largest number of objects in an image of the dataset, rounded up to a multiple of 8; at
// least 8. Reads all annotations. \error from the dataset.
absl::StatusOr<int64_t> PaddedTruthCount(const Dataset& dataset);

// Makes batches of a dataset's transformed samples on threads of its own. A batch depends on (seed,
// epoch, index in the epoch) alone: it is equal in every bit for any number of workers and
// processes, whatever was asked for before. Pixels are rendered straight into the batch's memory.
// At most prefetch_batches batches are held beside the one last handed out. Does not normalise or
// move to a device.
//
// Sets cv::setNumThreads(0) for the whole program: its workers are the parallelism.
class BatchLoader : public BatchSource {
 public:
  // `dataset` outlives the loader.
  // \error InvalidArgument naming option, value and remedy, also for a dataset with fewer images
  // than one batch if drop_last; from the dataset's annotations if max_truths is 0 or `sampling`
  // has a rule.
  static absl::StatusOr<std::unique_ptr<BatchLoader>> Create(
      const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
      const BatchLoaderOptions& options);

  // Lets every worker finish its current sample.
  ~BatchLoader() override;

  // The same in each process if drop_last; else those without a row of a short last batch have one
  // batch less.
  int64_t batches_per_epoch() const override { return batches_per_epoch_; }

  absl::Status Start(int64_t epoch, int64_t first_batch) override;

  // Passes over batches of which no row is left. \error names the image's file; repeated until
  // Start() is called again. DataLoss if no image of the dataset can be read, whatever bad_images
  // says. Precondition: Start() was called.
  absl::StatusOr<std::optional<Batch>> Next() override;

  // G.
  int64_t max_truths() const { return options_.max_truths; }

  BatchSourceStatistics statistics() const override;

 private:
  // A batch on its way: its samples are claimed one by one by the workers.
  struct Assembly;
  struct Position {
    int64_t epoch = 0;
    int64_t batch = 0;
  };
  // What became of a row.
  struct RowOutcome {
    absl::Status status;
    bool left_out = false;
    double decode_seconds = 0;
  };

  BatchLoader(const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
              const BatchLoaderOptions& options, SampleOrder order);

  void Work();
  // These require mutex_ to be held; MakeNextRow releases it while it works.
  bool HasWork() const;
  bool CanSchedule() const;
  int64_t ReadyBatches() const;
  void Schedule();
  void MakeNextRow(std::unique_lock<std::mutex>& lock);
  std::shared_ptr<const std::vector<Showing>> ShowingsOf(int64_t epoch);
  // At the end of an epoch: says how many images could not be read. \error if none could be.
  absl::Status CheckReadable();

  void Allocate(Assembly& assembly) const;
  // These read and write nothing that another thread writes without mutex_, which they take.
  RowOutcome MakeRow(Assembly& assembly, size_t row);
  absl::Status MakeSample(const Showing& showing, Assembly& assembly, size_t row,
                          double* decode_seconds, bool* is_readable);
  void NoteUnreadable(int64_t image, const absl::Status& status);

  const Dataset& dataset_;
  const std::vector<std::unique_ptr<Transform>> transforms_;
  const BatchLoaderOptions options_;
  const SampleOrder order_;
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
  int64_t showings_epoch_ = -1;
  std::shared_ptr<const std::vector<Showing>> showings_;
  std::set<int64_t> unreadable_;    // images
  int64_t unreadable_counted_ = 0;  // on the log
  BatchSourceStatistics statistics_;

  std::vector<std::thread> workers_;
};

}  // namespace ssd

#endif  // DATA_BATCH_LOADER_H_
