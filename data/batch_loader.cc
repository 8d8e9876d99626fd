#include "data/batch_loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

int64_t BatchesPerEpoch(int64_t size, const BatchLoaderOptions& options) {
  return (options.drop_last ? size : size + options.batch_size - 1) / options.batch_size;
}

}  // namespace

struct BatchLoader::Assembly {
  int64_t epoch = 0;
  int64_t index = 0;
  std::vector<int64_t> samples;  // indices of the dataset
  Batch batch;

  // Guarded by the loader's mutex_.
  size_t claimed = 0;
  size_t unfinished = 0;
  // Of the first sample in the batch that failed, so that the message does not depend on who was
  // faster.
  size_t failed_sample = std::numeric_limits<size_t>::max();
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
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.batch_size", options.batch_size, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.workers", options.workers, -1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.prefetch_batches", options.prefetch_batches, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("loader.cache.max_megabytes", options.cache_megabytes, 0));
  SSD_RETURN_IF_ERROR(CheckAtLeast("model.input height", options.input.height, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("model.input width", options.input.width, 1));
  SSD_RETURN_IF_ERROR(CheckAtLeast("max_truths", options.max_truths, 0));
  if (dataset.size() == 0) {
    return absl::InvalidArgumentError(
        "the dataset has no images; check its files and its subset (from, to)");
  }
  if (BatchesPerEpoch(dataset.size(), options) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("loader.batch_size: ", options.batch_size, " is more than the ",
                     dataset.size(), " images of the dataset; set at most ", dataset.size()));
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
  return std::unique_ptr<BatchLoader>(new BatchLoader(dataset, std::move(transforms), options));
}

BatchLoader::BatchLoader(const Dataset& dataset, std::vector<std::unique_ptr<Transform>> transforms,
                         const BatchLoaderOptions& options)
    : dataset_(dataset),
      transforms_(std::move(transforms)),
      options_(options),
      batches_per_epoch_(BatchesPerEpoch(dataset.size(), options)),
      cache_(std::min(options.cache_megabytes, int64_t{1} << 40) << 20) {
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
  if (next_.batch == batches_per_epoch_) return std::optional<Batch>();

  const Clock::time_point start = Clock::now();
  if (workers_.empty()) {
    if (assemblies_.empty()) Schedule();
    while (HasWork()) MakeNextSample(lock);
  } else {
    ready_.wait(lock,
                [this] { return !assemblies_.empty() && assemblies_.front()->unfinished == 0; });
  }
  statistics_.wait_seconds += SecondsSince(start);

  Assembly& assembly = *assemblies_.front();
  CHECK(assembly.epoch == next_.epoch && assembly.index == next_.batch);
  if (!assembly.status.ok()) return assembly.status;
  std::optional<Batch> batch = std::move(assembly.batch);
  assemblies_.pop_front();
  ++next_.batch;
  work_.notify_all();
  return batch;
}

LoaderStatistics BatchLoader::statistics() const {
  std::lock_guard<std::mutex> lock(mutex_);
  LoaderStatistics statistics = statistics_;
  for (const auto& assembly : assemblies_) statistics.ready_batches += assembly->unfinished == 0;
  statistics.cache = cache_.statistics();
  return statistics;
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
    MakeNextSample(lock);
  }
}

bool BatchLoader::HasWork() const {
  return std::any_of(assemblies_.begin(), assemblies_.end(), [](const auto& assembly) {
    return assembly->claimed < assembly->samples.size();
  });
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
  const std::vector<int64_t>& order = Order(assembly->epoch);
  const int64_t first = assembly->index * options_.batch_size;
  const int64_t last = std::min<int64_t>(first + options_.batch_size, dataset_.size());
  assembly->samples.assign(order.begin() + first, order.begin() + last);
  try {
    Allocate(*assembly);
  } catch (const std::exception& error) {
    assembly->samples.clear();
    assembly->status = absl::ResourceExhaustedError(
        absl::StrCat("no memory for a batch of ", options_.batch_size, " images (", error.what(),
                     "); lower loader.batch_size or loader.prefetch_batches"));
  }
  assembly->unfinished = assembly->samples.size();
  assemblies_.push_back(std::move(assembly));
  if (assemblies_.back()->unfinished == 0) ready_.notify_all();
}

void BatchLoader::MakeNextSample(std::unique_lock<std::mutex>& lock) {
  const auto found = std::find_if(assemblies_.begin(), assemblies_.end(), [](const auto& assembly) {
    return assembly->claimed < assembly->samples.size();
  });
  const std::shared_ptr<Assembly> assembly = *found;
  const size_t row = assembly->claimed++;

  lock.unlock();
  const Clock::time_point start = Clock::now();
  double decode_seconds = 0;
  absl::Status status;
  try {
    status = MakeSample(*assembly, row, &decode_seconds);
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  if (!status.ok()) {
    // The dataset's messages name the file; this is for those of transforms and libraries.
    const auto annotations = dataset_.GetAnnotations(assembly->samples[row]);
    if (annotations.ok() && !absl::StrContains(status.message(), annotations->file_name)) {
      status =
          absl::Status(status.code(), absl::StrCat(annotations->file_name, ": ", status.message()));
    }
  }
  const double seconds = SecondsSince(start);
  lock.lock();

  ++statistics_.samples;
  statistics_.decode_seconds += decode_seconds;
  statistics_.transform_seconds += seconds - decode_seconds;
  if (!status.ok() && row < assembly->failed_sample) {
    assembly->failed_sample = row;
    assembly->status = std::move(status);
  }
  if (--assembly->unfinished == 0) ready_.notify_all();
}

const std::vector<int64_t>& BatchLoader::Order(int64_t epoch) {
  if (epoch == order_epoch_) return order_;
  order_.resize(static_cast<size_t>(dataset_.size()));
  std::iota(order_.begin(), order_.end(), 0);
  if (options_.shuffle) {
    // No image has this index, so the order shares no random numbers with a sample.
    Random random(options_.seed, static_cast<uint64_t>(epoch),
                  std::numeric_limits<uint64_t>::max());
    for (int64_t i = dataset_.size() - 1; i > 0; --i) {
      std::swap(order_[i], order_[random.Integer(0, i)]);
    }
  }
  order_epoch_ = epoch;
  return order_;
}

void BatchLoader::Allocate(Assembly& assembly) const {
  const int64_t rows = static_cast<int64_t>(assembly.samples.size());
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
  batch.image_ids.resize(assembly.samples.size());
  batch.geometry.resize(assembly.samples.size());
}

absl::Status BatchLoader::MakeSample(Assembly& assembly, size_t row, double* decode_seconds) {
  const int64_t index = assembly.samples[row];
  const ImageSize& input = options_.input;
  SSD_ASSIGN_OR_RETURN(Sample sample, dataset_.Get(index));
  sample.image.ReplaceSource(cache_.Wrap(index, sample.image.source(), decode_seconds));
  Random random(options_.seed, static_cast<uint64_t>(assembly.epoch), static_cast<uint64_t>(index));
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
  SSD_RETURN_IF_ERROR(sample.image.RenderTo(image));

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
