#include "data/batch_loader.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <opencv2/core.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "data/image_header.h"
#include "ssd/core/logging.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

absl::Status CheckAtLeast(absl::string_view option, int64_t value, int64_t least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", value, " is too small; set at least ", least));
}

absl::Status CheckAtMost(absl::string_view option, int64_t value, int64_t most) {
  if (value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(option, ": ", value, " is too large; set at most ", most));
}

int64_t BatchesPerEpoch(int64_t size, const BatchLoaderOptions& options) {
  const int64_t whole = size / options.batch_size, rest = size % options.batch_size;
  return whole + (!options.drop_last && rest > options.rank ? 1 : 0);
}

absl::Status CheckOptions(const BatchLoaderOptions& options) {
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.batch_size", options.batch_size, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.workers", options.workers, -1));
  SSD_RETURN_IF_ERROR(CheckAtMost("loader.workers", options.workers, kMostLoaderWorkers));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.prefetch_batches", options.prefetch_batches, 1));
  SSD_RETURN_IF_ERROR(
      CheckAtMost("loader.prefetch_batches", options.prefetch_batches, kMostPrefetchBatches));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.cache.max_megabytes", options.cache_megabytes, 0));
  SSD_RETURN_IF_ERROR(CheckAtLeast("model.input height", options.input.height, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("model.input width", options.input.width, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("max_truths", options.max_truths, 0));
  CHECK(options.rank >= 0 && options.rank < options.world) << options.rank;
  if (options.batch_size % options.world != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("loader.batch_size: ", options.batch_size, " cannot be shared by ",
                     options.world, " processes; set a multiple of ", options.world));
  }
  const int reduction = options.max_decode_reduction;
  if (reduction != 1 && reduction != 2 && reduction != 4 && reduction != 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("loader.max_decode_reduction: ", reduction, "; set 1, 2, 4 or 8"));
  }
  if (reduction > 1 && options.cache_megabytes > 0 &&
      options.cache_content == LoaderConfig::Cache::DECODED) {
    return absl::InvalidArgumentError(
        absl::StrCat("loader.max_decode_reduction: ", reduction,
                     " is not for images kept decoded, which are whole; set "
                     "loader.cache.content: ENCODED, or 1"));
  }
  return absl::OkStatus();
}

// The rows of which `left_out` is false.
Batch WithoutRows(const Batch& batch, const std::vector<bool>& left_out) {
  std::vector<int64_t> kept;
  Batch rest;
  for (size_t row = 0; row < left_out.size(); ++row) {
    if (left_out[row]) continue;
    kept.push_back(static_cast<int64_t>(row));
    rest.image_ids.push_back(batch.image_ids[row]);
    rest.geometry.push_back(batch.geometry[row]);
  }
  const Tensor rows = at::tensor(kept, at::kLong);
  // The channels stay innermost.
  rest.images = batch.images.permute({0, 2, 3, 1}).index_select(0, rows).permute({0, 3, 1, 2});
  rest.truth.boxes = batch.truth.boxes.index_select(0, rows);
  rest.truth.labels = batch.truth.labels.index_select(0, rows);
  rest.truth.ignore = batch.truth.ignore.index_select(0, rows);
  return rest;
}

}  // namespace

struct BatchLoader::Assembly {
  int64_t epoch = 0;
  int64_t index = 0;
  std::shared_ptr<const std::vector<Showing>> showings;  // the epoch's
  std::vector<int64_t> places;                           // of the rows, in it
  Batch batch;

  // Guarded by the loader's mutex_.
  size_t claimed = 0;
  size_t unfinished = 0;
  std::vector<bool> left_out;  // of the rows
  // The first row that failed, so that the message does not depend on who was faster.
  size_t failed_row = std::numeric_limits<size_t>::max();
  absl::Status status;
};

absl::StatusOr<int64_t> PaddedTruthCount(const Dataset& dataset) {
  int64_t most = 1;
  for (int64_t index = 0; index < dataset.size(); ++index) {
    SSD_ASSIGN_OR_RETURN(const Annotations annotations, dataset.GetAnnotations(index));
    most = std::max(most, static_cast<int64_t>(annotations.objects.size()));
  }
  return (most + 7) / 8 * 8;
}

absl::StatusOr<std::unique_ptr<BatchLoader>> BatchLoader::Create(
    const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
    const BatchLoaderOptions& requested) {
  BatchLoaderOptions options = requested;
  SSD_RETURN_IF_ERROR(CheckOptions(options));
  if (dataset.size() == 0) {
    return absl::InvalidArgumentError(
        "the dataset has no images; check its files and its subset (from, to)");
  }
  SSD_ASSIGN_OR_RETURN(SampleOrder order, SampleOrder::Create(dataset, options.sampling,
                                                              options.shuffle, options.seed));
  if (BatchesPerEpoch(order.size(), options) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("loader.batch_size: ", options.batch_size, " is more than the ", order.size(),
                     " images of the dataset; set at most ", order.size()));
  }
  if (options.workers < 0) {
    options.workers = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  if (options.max_truths == 0) {
    SSD_ASSIGN_OR_RETURN(options.max_truths, PaddedTruthCount(dataset));
  }
  if (options.pin_memory) {
    try {
      at::empty({1}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    } catch (const std::exception& error) {
      return absl::FailedPreconditionError(
          absl::StrCat("page-locked memory is not available (", error.what(),
                       "); train on a machine with CUDA, with a program built with --config=cuda, "
                       "or on the CPU"));
    }
  }
  cv::setNumThreads(0);
  return std::unique_ptr<BatchLoader>(
      new BatchLoader(dataset, std::move(transforms), options, std::move(order)));
}

BatchLoader::BatchLoader(const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
                         const BatchLoaderOptions& options, SampleOrder order)
    : dataset_(dataset),
      transforms_(std::move(transforms)),
      options_(options),
      order_(std::move(order)),
      batches_per_epoch_(BatchesPerEpoch(order_.size(), options)),
      cache_(options.cache_content, std::min(options.cache_megabytes, int64_t{1} << 40) << 20) {
  for (int i = 0; i < options.workers; ++i) workers_.emplace_back(&BatchLoader::Work, this);
}

BatchLoader::~BatchLoader() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

absl::Status BatchLoader::Start(int64_t epoch, int64_t first_batch) {
  CHECK_GE(epoch, 0);
  CHECK(first_batch >= 0 && first_batch <= batches_per_epoch_) << first_batch;
  std::lock_guard<std::mutex> lock(mutex_);
  started_ = true;
  next_ = {epoch, first_batch};
  // The first batch to make; from an epoch's end that is the next epoch's, if any.
  const bool at_end = first_batch == batches_per_epoch_;
  const Position first = at_end && options_.prefetch_next_epoch ? Position{epoch + 1, 0} : next_;

  // What was prepared and is still wanted stays. A worker may be busy with something that goes; it
  // keeps that in memory until it has finished.
  const auto is_wanted = [&](const Assembly& assembly) {
    return assembly.epoch == first.epoch && assembly.index == first.batch && assembly.status.ok();
  };
  while (!assemblies_.empty() && !is_wanted(*assemblies_.front())) assemblies_.pop_front();
  if (assemblies_.empty()) scheduled_ = first;
  work_.notify_all();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Batch>> BatchLoader::Next() {
  std::unique_lock<std::mutex> lock(mutex_);
  CHECK(started_) << "Next() before Start()";
  while (next_.batch < batches_per_epoch_) {
    ++statistics_.batches;
    statistics_.ready_batches += ReadyBatches();
    if (workers_.empty()) {
      if (assemblies_.empty()) Schedule();
      while (HasWork()) MakeNextRow(lock);
    } else {
      ready_.wait(lock,
                  [this] { return !assemblies_.empty() && assemblies_.front()->unfinished == 0; });
    }

    const std::shared_ptr<Assembly> assembly = assemblies_.front();
    CHECK(assembly->epoch == next_.epoch && assembly->index == next_.batch);
    if (!assembly->status.ok()) return assembly->status;
    assemblies_.pop_front();
    ++next_.batch;
    work_.notify_all();
    const std::vector<bool>& left_out = assembly->left_out;
    const auto missing = std::count(left_out.begin(), left_out.end(), true);
    if (missing == 0) return std::optional<Batch>(std::move(assembly->batch));
    if (missing < static_cast<int64_t>(left_out.size())) {
      return std::optional<Batch>(WithoutRows(assembly->batch, left_out));
    }
  }
  SSD_RETURN_IF_ERROR(CheckReadable());
  return std::optional<Batch>();
}

BatchSourceStatistics BatchLoader::statistics() const {
  std::lock_guard<std::mutex> lock(mutex_);
  BatchSourceStatistics statistics = statistics_;
  const ImageCache::Statistics cache = cache_.statistics();
  statistics.cache_hits = cache.hits;
  statistics.cache_misses = cache.misses;
  statistics.cache_bytes = cache.bytes;
  statistics.skipped_images = options_.images_left_out + static_cast<int64_t>(unreadable_.size());
  return statistics;
}

absl::Status BatchLoader::CheckReadable() {
  const int64_t left_out = options_.images_left_out;
  const int64_t unreadable = left_out + static_cast<int64_t>(unreadable_.size());
  if (unreadable > unreadable_counted_) {
    unreadable_counted_ = unreadable;
    LOG(WARNING) << unreadable << " of " << left_out + dataset_.size()
                 << " images could not be read and were skipped";
  }
  if (static_cast<int64_t>(unreadable_.size()) < dataset_.size()) return absl::OkStatus();
  return absl::DataLossError(
      "no image of the dataset can be read; the log says why of each, and `check` lists them");
}

void BatchLoader::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || HasWork() || CanSchedule(); });
    if (stopping_) return;
    if (!HasWork()) {
      Schedule();
      work_.notify_all();
      continue;
    }
    MakeNextRow(lock);
  }
}

bool BatchLoader::HasWork() const {
  return std::any_of(assemblies_.begin(), assemblies_.end(), [](const auto& assembly) {
    return assembly->claimed < assembly->places.size();
  });
}

int64_t BatchLoader::ReadyBatches() const {
  return std::count_if(assemblies_.begin(), assemblies_.end(),
                       [](const auto& assembly) { return assembly->unfinished == 0; });
}

bool BatchLoader::CanSchedule() const {
  return started_ && static_cast<int>(assemblies_.size()) < options_.prefetch_batches &&
         (scheduled_.batch < batches_per_epoch_ || options_.prefetch_next_epoch);
}

void BatchLoader::Schedule() {
  if (scheduled_.batch == batches_per_epoch_) scheduled_ = {scheduled_.epoch + 1, 0};
  auto assembly = std::make_shared<Assembly>();
  assembly->epoch = scheduled_.epoch;
  assembly->index = scheduled_.batch++;
  assembly->showings = ShowingsOf(assembly->epoch);
  const int64_t first = assembly->index * options_.batch_size;
  const int64_t end = std::min(first + options_.batch_size, order_.size());
  for (int64_t place = first + options_.rank; place < end; place += options_.world) {
    assembly->places.push_back(place);
  }
  assembly->left_out.resize(assembly->places.size());
  try {
    Allocate(*assembly);
  } catch (const std::exception& error) {
    assembly->places.clear();
    assembly->left_out.clear();
    assembly->status = absl::ResourceExhaustedError(
        absl::StrCat("no memory for a batch of ", options_.batch_size, " images (", error.what(),
                     "); lower loader.batch_size or loader.prefetch_batches"));
  }
  assembly->unfinished = assembly->places.size();
  assemblies_.push_back(std::move(assembly));
  if (assemblies_.back()->unfinished == 0) ready_.notify_all();
}

void BatchLoader::MakeNextRow(std::unique_lock<std::mutex>& lock) {
  const auto found = std::find_if(assemblies_.begin(), assemblies_.end(), [](const auto& assembly) {
    return assembly->claimed < assembly->places.size();
  });
  const std::shared_ptr<Assembly> assembly = *found;
  const size_t row = assembly->claimed++;

  lock.unlock();
  const Clock::time_point start = Clock::now();
  RowOutcome outcome = MakeRow(*assembly, row);
  const double seconds = SecondsSince(start);
  lock.lock();

  ++statistics_.samples;
  statistics_.decode_seconds += outcome.decode_seconds;
  statistics_.transform_seconds += seconds - outcome.decode_seconds;
  assembly->left_out[row] = outcome.left_out;
  if (!outcome.status.ok() && row < assembly->failed_row) {
    assembly->failed_row = row;
    assembly->status = std::move(outcome.status);
  }
  if (--assembly->unfinished == 0) ready_.notify_all();
}

BatchLoader::RowOutcome BatchLoader::MakeRow(Assembly& assembly, size_t row) {
  const std::vector<Showing>& showings = *assembly.showings;
  const auto place = static_cast<size_t>(assembly.places[row]);
  RowOutcome outcome;
  for (size_t tried = 0; tried < showings.size(); ++tried) {
    const int64_t image = showings[(place + tried) % showings.size()].image;
    bool is_readable = true;
    absl::Status status;
    try {
      status = MakeSample({image, showings[place].random_index}, assembly, row,
                          &outcome.decode_seconds, &is_readable);
    } catch (const std::exception& error) {
      status = absl::InternalError(error.what());
    }
    if (!status.ok()) {
      // The dataset's messages name the file; this is for those of transforms and libraries.
      const auto truth = dataset_.GetAnnotations(image);
      if (truth.ok() && !absl::StrContains(status.message(), truth->file_name)) {
        status =
            absl::Status(status.code(), absl::StrCat(truth->file_name, ": ", status.message()));
      }
    }
    if (is_readable || options_.bad_images == BadImages::kFail) {
      outcome.status = std::move(status);
      return outcome;
    }
    NoteUnreadable(image, status);
    if (options_.bad_images == BadImages::kLeaveOut) {
      outcome.left_out = true;
      return outcome;
    }
    if (tried == 0) outcome.status = std::move(status);
  }
  outcome.status = absl::DataLossError(absl::StrCat(
      "no image of the dataset can be read, the first tried being ", outcome.status.message()));
  return outcome;
}

void BatchLoader::NoteUnreadable(int64_t image, const absl::Status& status) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!unreadable_.insert(image).second) return;
  }
  LOG(WARNING) << status.message()
               << (options_.bad_images == BadImages::kReplace
                       ? "; another image takes its place"
                       : "; it counts as an image without detections");
}

std::shared_ptr<const std::vector<Showing>> BatchLoader::ShowingsOf(int64_t epoch) {
  if (epoch != showings_epoch_) {
    showings_ = std::make_shared<const std::vector<Showing>>(order_.Epoch(epoch));
    showings_epoch_ = epoch;
  }
  return showings_;
}

void BatchLoader::Allocate(Assembly& assembly) const {
  const int64_t rows = static_cast<int64_t>(assembly.places.size());
  const int64_t truths = options_.max_truths;
  const auto of = [&](at::ScalarType type) {
    return at::TensorOptions().dtype(type).pinned_memory(options_.pin_memory);
  };
  // Padding is zero by memset: ATen would fill large tensors with OpenMP's threads.
  const auto zeros = [&](at::IntArrayRef shape, at::ScalarType type) {
    Tensor tensor = at::empty(shape, of(type));
    std::memset(tensor.data_ptr(), 0, tensor.nbytes());
    return tensor;
  };
  Batch& batch = assembly.batch;
  batch.images = at::empty({rows, options_.input.height, options_.input.width, 3}, of(at::kByte))
                     .permute({0, 3, 1, 2});
  batch.truth.boxes = zeros({rows, truths, 4}, at::kFloat);
  batch.truth.labels = zeros({rows, truths}, at::kLong);
  batch.truth.ignore = zeros({rows, truths}, at::kBool);
  batch.image_ids.resize(assembly.places.size());
  batch.geometry.resize(assembly.places.size());
}

absl::Status BatchLoader::MakeSample(const Showing& showing, Assembly& assembly, size_t row,
                                     double* decode_seconds, bool* is_readable) {
  const ImageSize& input = options_.input;
  absl::StatusOr<Sample> read = dataset_.Get(showing.image);
  *is_readable = !IsBadImage(read.status());
  if (!read.ok()) return read.status();
  Sample& sample = *read;
  sample.image.ReplaceSource(cache_.Wrap(showing.image, sample.image.source(), decode_seconds));
  Random random(options_.seed, static_cast<uint64_t>(assembly.epoch), showing.random_index);
  for (const auto& transform : transforms_) transform->Apply(random, sample);

  const ImageSize size = sample.image.size();
  if (size != input) {
    return absl::InvalidArgumentError(
        absl::StrCat("the transforms leave the image at ", size.width, "x", size.height,
                     " pixels, model.input is ", input.width, "x", input.height,
                     "; end the dataset's transforms with `resize {}`"));
  }
  const std::vector<Annotation>& objects = sample.truth.objects;
  if (static_cast<int64_t>(objects.size()) > options_.max_truths) {
    return absl::InvalidArgumentError(absl::StrCat(
        objects.size(), " objects, but batches are padded to max_truths = ", options_.max_truths,
        "; raise max_truths"));
  }

  Batch& batch = assembly.batch;
  uint8_t* const pixels = batch.images.data_ptr<uint8_t>() + row * input.height * input.width * 3;
  cv::Mat image(static_cast<int>(input.height), static_cast<int>(input.width), CV_8UC3, pixels);
  const absl::Status rendered = sample.image.RenderTo(image, options_.max_decode_reduction);
  *is_readable = !IsBadImage(rendered);
  if (!rendered.ok()) return rendered;

  float* box = batch.truth.boxes.data_ptr<float>() + row * options_.max_truths * 4;
  int64_t* label = batch.truth.labels.data_ptr<int64_t>() + row * options_.max_truths;
  bool* ignore = batch.truth.ignore.data_ptr<bool>() + row * options_.max_truths;
  const double width = static_cast<double>(input.width);
  const double height = static_cast<double>(input.height);
  for (const Annotation& object : objects) {
    if (object.label < 1 || object.label > dataset_.labels().num_classes()) {
      return absl::InvalidArgumentError(absl::StrCat("object ", object.id, " has label ",
                                                     object.label, ", which is outside 1..",
                                                     dataset_.labels().num_classes()));
    }
    *box++ = static_cast<float>(object.box.x0 / width);
    *box++ = static_cast<float>(object.box.y0 / height);
    *box++ = static_cast<float>(object.box.x1 / width);
    *box++ = static_cast<float>(object.box.y1 / height);
    *label++ = object.label;
    *ignore++ = object.crowd || object.difficult;
  }
  batch.image_ids[row] = sample.truth.image_id;
  batch.geometry[row] = sample.geometry;
  return absl::OkStatus();
}

}  // namespace ssd
