#include "ssd/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/exception_status.h"
#include "ssd/core/logging.h"
#include "ssd/core/random_state.h"
#include "ssd/core/status_macros.h"
#include "ssd/model/tensor_archive.h"
#include "ssd/optim/optimizer_state.h"
#include "ssd/train/gradients.h"

namespace ssd {
namespace {

// A step's report: these for each of its batches, then the gradient's norm.
enum ReportEntry { kTotal, kClassification, kLocalization, kReportEntries };

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// "12, 55, 7 and 13 more".
std::string ImageList(const std::vector<int64_t>& ids) {
  constexpr size_t kShown = 16;
  if (ids.size() <= kShown) return absl::StrJoin(ids, ", ");
  return absl::StrCat(absl::StrJoin(ids.begin(), ids.begin() + kShown, ", "), " and ",
                      ids.size() - kShown, " more");
}

// nullopt: nothing was counted.
std::optional<double> Mean(double sum, int64_t count) {
  if (count <= 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

// What was counted from `before` to `now`.
void AddLoading(const BatchSourceStatistics& before, const BatchSourceStatistics& now,
                StepRecord& record) {
  const int64_t samples = now.samples - before.samples;
  record.decode_seconds = Mean(now.decode_seconds - before.decode_seconds, samples);
  record.transform_seconds = Mean(now.transform_seconds - before.transform_seconds, samples);
  record.queue_depth = Mean(static_cast<double>(now.ready_batches - before.ready_batches),
                            now.batches - before.batches);
  const int64_t hits = now.cache_hits - before.cache_hits;
  record.cache_hit_rate =
      Mean(static_cast<double>(hits), hits + now.cache_misses - before.cache_misses);
}

void ChooseAlgorithms(at::Device device, bool deterministic) {
  if (device.is_cpu()) return;  // deterministic anyway
  // cuBLAS's condition; read when it is first used.
  if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  context.setDeterministicCuDNN(deterministic);
  context.setBenchmarkCuDNN(!deterministic);
}

}  // namespace

// A step whose work the device has been given but whose report the host has not read.
struct Trainer::PendingStep {
  int64_t number = 0;  // from 1
  std::vector<Batch> batches;
  Tensor report;                    // [kReportEntries * batches + 1] f32, in the host's memory
  std::optional<c10::Event> ready;  // `report` holds what it should; unset: it does already
  // Before the step.
  Tensor cpu_random_state;
  Tensor device_random_state;  // undefined on the CPU
};

Trainer::Trainer(TrainerParts parts)
    : parts_(std::move(parts)),
      format_(FormatOf(parts_.config)),
      length_(LengthOfRun(parts_.config, parts_.batches->batches_per_epoch())),
      batches_per_epoch_(parts_.batches->batches_per_epoch()),
      lag_(parts_.device.is_cpu() ? 0 : 1) {
  CHECK(parts_.detector != nullptr && parts_.optimizer != nullptr && parts_.schedule != nullptr);
  for (const Tensor& parameter : parts_.detector->parameters()) {
    CHECK(parameter.device().type() == parts_.device.type()) << "PlaceModule comes first";
    if (parameter.requires_grad()) parameters_.push_back(parameter);
  }
  CHECK(!parameters_.empty());
  if (parts_.config.has_ema()) {
    average_ = std::make_unique<ExponentialMovingAverage>(*parts_.detector, parts_.config.ema());
  }
  found_nonfinite_ = at::zeros({}, at::TensorOptions(parts_.device).dtype(at::kFloat));
  buffers_ = parts_.detector->buffers();
  for (size_t slot = 0; slot <= lag_; ++slot) {
    std::vector<Tensor>& saved = saved_buffers_.emplace_back();
    for (const Tensor& buffer : buffers_) saved.push_back(buffer.clone());
  }
}

Trainer::~Trainer() = default;

absl::Status Trainer::Resume(const Checkpoint& checkpoint, const std::string& path) {
  CHECK_EQ(step_, 0);
  SSD_RETURN_IF_ERROR(
      CheckSameRun(checkpoint, path, parts_.config_text, parts_.data_digest, parts_.device));
  const auto annotate = [&path](const char* part, const absl::Status& status) {
    if (status.ok()) return status;
    return absl::FailedPreconditionError(
        absl::StrCat(path, " does not fit this run: ", part, ": ", status.message()));
  };
  SSD_RETURN_IF_ERROR(annotate("model", CopyState(checkpoint.model, ModelState())));
  SSD_RETURN_IF_ERROR(annotate("optimizer", parts_.optimizer->LoadState(checkpoint.optimizer)));
  if (average_ != nullptr) {
    SSD_RETURN_IF_ERROR(annotate("average", average_->LoadState(checkpoint.average)));
  }
  SetRandomState(at::kCPU, checkpoint.cpu_random_state);
  if (!parts_.device.is_cpu()) SetRandomState(parts_.device, checkpoint.device_random_state);
  step_ = saved_step_ = checkpoint.state.step();
  window_ = checkpoint.state.window();
  if (checkpoint.state.has_best()) best_ = checkpoint.state.best();
  return absl::OkStatus();
}

absl::StatusOr<TrainingOutcome> Trainer::Run() {
  absl::StatusOr<TrainingOutcome> outcome;
  try {
    outcome = Train();
  } catch (const std::bad_alloc&) {
    outcome = absl::ResourceExhaustedError(absl::StrCat(
        "out of memory in step ", step_ + 1, "; a smaller data.loader.batch_size needs less"));
  } catch (const std::exception& error) {  // oneDNN's are no c10::Error
    const absl::Status failed = ExceptionStatus(error);
    outcome = absl::Status(
        failed.code(), absl::StrCat("training failed in step ", step_ + 1, ": ", failed.message()));
  }
  for (TrainingObserver* observer : parts_.observers) {
    observer->OnEnd(outcome.ok() ? outcome->status : "failed");
  }
  return outcome;
}

absl::StatusOr<TrainingOutcome> Trainer::Train() {
  const TrainerConfig& config = parts_.config;
  ChooseAlgorithms(parts_.device, config.deterministic());
  parts_.detector->train();
  for (const Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  start_ = saved_at_ = Now();
  first_step_ = step_;
  const int64_t first_batch = step_ * config.accumulate_steps();
  epoch_ = first_batch / batches_per_epoch_;
  if (step_ < length_.total_steps) {
    SSD_RETURN_IF_ERROR(parts_.batches->Start(epoch_, first_batch % batches_per_epoch_));
  }

  TrainingOutcome outcome;
  outcome.status = "done";
  while (step_ < length_.total_steps) {
    if (parts_.stop != nullptr && parts_.stop->load() != 0) {
      outcome.status = "interrupted";
      break;
    }
    if (config.time_limit() > 0 && Now() - start_ >= config.time_limit()) {
      outcome.status = "time limit";
      break;
    }
    SSD_RETURN_IF_ERROR(Step());

    const auto due = [this](int64_t every) { return every > 0 && step_ % every == 0; };
    const bool last = step_ == length_.total_steps;
    const bool log = last || due(config.log_every());
    const bool evaluate = last || due(config.evaluate_every());
    const bool save =
        evaluate || due(config.checkpoint_every()) ||
        (config.checkpoint_seconds() > 0 && Now() - saved_at_ >= config.checkpoint_seconds());
    if (log || save) SSD_RETURN_IF_ERROR(Settle());
    if (log) Log();
    if (evaluate) SSD_RETURN_IF_ERROR(Evaluate());
    if (save) SSD_RETURN_IF_ERROR(SaveLast());
  }
  SSD_RETURN_IF_ERROR(Settle());
  if (saved_step_ != step_) SSD_RETURN_IF_ERROR(SaveLast());
  outcome.step = step_;
  if (best_.has_value()) {
    if (best_->has_metric()) outcome.best_metric = best_->metric();
    outcome.best_step = best_->step();
  } else if (step_ > 0) {
    // Stopped before its first evaluation. The checkpoint does not know of it, so that a resumed
    // run is one that was never stopped.
    const AveragedWeightsScope averaged(average_.get());
    SSD_RETURN_IF_ERROR(SaveBest());
    outcome.best_step = step_;
  }
  return outcome;
}

absl::StatusOr<Batch> Trainer::NextBatch() {
  const double start = Now();
  SSD_ASSIGN_OR_RETURN(std::optional<Batch> batch, parts_.batches->Next());
  if (!batch.has_value()) {
    ++epoch_;
    SSD_RETURN_IF_ERROR(parts_.batches->Start(epoch_, 0));
    SSD_ASSIGN_OR_RETURN(batch, parts_.batches->Next());
    CHECK(batch.has_value()) << "an epoch without batches";
  }
  waited_ += Now() - start;
  return *std::move(batch);
}

void Trainer::SaveBuffers(int64_t step) {
  if (buffers_.empty()) return;
  at::NoGradGuard no_grad;
  at::_foreach_copy_(saved_buffers_[step % (lag_ + 1)], buffers_, /*non_blocking=*/true);
}

absl::Status Trainer::Step() {
  const double start = Now();
  const int64_t accumulate = parts_.config.accumulate_steps();
  auto pending = std::make_unique<PendingStep>();
  pending->number = step_ + 1;
  SaveBuffers(pending->number);
  pending->cpu_random_state = RandomState(at::kCPU);
  if (!parts_.device.is_cpu()) pending->device_random_state = RandomState(parts_.device);

  // Without a gradient to add to, autograd keeps the one it has just computed: cheaper than to
  // clear and add.
  for (const Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  std::vector<Tensor> report;
  for (int64_t i = 0; i < accumulate; ++i) {
    SSD_ASSIGN_OR_RETURN(Batch batch, NextBatch());
    batch.images = PlaceImages(batch.images, parts_.device, format_.memory_format);
    batch.truth.boxes = batch.truth.boxes.to(parts_.device, /*non_blocking=*/true);
    batch.truth.labels = batch.truth.labels.to(parts_.device, /*non_blocking=*/true);
    batch.truth.ignore = batch.truth.ignore.to(parts_.device, /*non_blocking=*/true);

    Predictions predictions;
    {
      const AutocastScope autocast(parts_.device, format_.precision);
      predictions = parts_.detector->Forward(batch.images);
    }
    const Losses losses = parts_.detector->ComputeLosses(predictions, batch.truth);
    (accumulate == 1 ? losses.total : losses.total / accumulate).backward();
    report.insert(report.end(), {losses.total.detach(), losses.classification.detach(),
                                 losses.localization.detach()});
    trained_images_ += static_cast<int64_t>(batch.image_ids.size());
    pending->batches.push_back(std::move(batch));
  }

  at::NoGradGuard no_grad;
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters_) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  report.push_back(GradientNorm(gradients));
  const Tensor values = at::stack(report);
  found_nonfinite_ =
      at::maximum(found_nonfinite_, at::isfinite(values).all().logical_not().to(at::kFloat));
  if (parts_.config.gradient_clip_norm() > 0) {
    ClipGradients(gradients, report.back(), parts_.config.gradient_clip_norm());
  }
  const double learning_rate =
      parts_.optimizer->base_learning_rate() * parts_.schedule->Multiplier(step_);
  parts_.optimizer->Step(at::full({}, learning_rate, found_nonfinite_.options()), found_nonfinite_);
  if (average_ != nullptr) average_->Update(step_, found_nonfinite_);
  ++step_;

  if (values.is_cpu()) {
    pending->report = values;
  } else {
    pending->report = at::empty(values.sizes(), at::TensorOptions(at::kFloat).pinned_memory(true));
    pending->report.copy_(values, /*non_blocking=*/true);
    pending->ready.emplace(parts_.device.type());
    pending->ready->record(
        c10::impl::VirtualGuardImpl(parts_.device.type()).getStream(parts_.device));
  }
  pending_.push_back(std::move(pending));
  while (pending_.size() > lag_) SSD_RETURN_IF_ERROR(CheckOldest());
  trained_ += Now() - start;
  return absl::OkStatus();
}

absl::Status Trainer::CheckOldest() {
  const std::unique_ptr<PendingStep> oldest = std::move(pending_.front());
  pending_.pop_front();
  PendingStep& pending = *oldest;
  if (pending.ready.has_value()) pending.ready->synchronize();
  const float* const values = pending.report.const_data_ptr<float>();
  const std::vector<float> report(values, values + pending.report.numel());
  for (const float value : report) {
    if (!std::isfinite(value)) return StopAtNonfinite(pending, report);
  }
  const double batches = static_cast<double>(pending.batches.size());
  double sums[kReportEntries] = {};
  for (size_t i = 0; i + 1 < report.size(); ++i) sums[i % kReportEntries] += report[i];
  window_.set_steps(window_.steps() + 1);
  window_.set_loss(window_.loss() + sums[kTotal] / batches);
  window_.set_classification_loss(window_.classification_loss() + sums[kClassification] / batches);
  window_.set_localization_loss(window_.localization_loss() + sums[kLocalization] / batches);
  window_.set_gradient_norm(window_.gradient_norm() + report.back());
  return absl::OkStatus();
}

absl::Status Trainer::Settle() {
  const double start = Now();
  while (!pending_.empty()) SSD_RETURN_IF_ERROR(CheckOldest());
  trained_ += Now() - start;
  return absl::OkStatus();
}

absl::Status Trainer::StopAtNonfinite(const PendingStep& pending,
                                      const std::vector<float>& report) {
  {
    at::NoGradGuard no_grad;
    const std::vector<Tensor>& saved = saved_buffers_[pending.number % (lag_ + 1)];
    for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(saved[i]);
  }
  step_ = pending.number - 1;
  pending_.clear();

  // A gradient that is not finite though all losses are can come from any of the step's batches.
  std::string term = "gradient norm";
  float value = report.back();
  size_t batch = 0;
  std::vector<int64_t> image_ids;
  for (const Batch& each : pending.batches) {
    image_ids.insert(image_ids.end(), each.image_ids.begin(), each.image_ids.end());
  }
  for (size_t i = 0; i + 1 < report.size(); ++i) {
    static constexpr const char* kTerms[] = {"total loss", "classification loss",
                                             "localization loss"};
    // The total comes first but says least.
    const size_t first = i - i % kReportEntries;
    const size_t entry = (i + 1) % kReportEntries;
    if (std::isfinite(report[first + entry])) continue;
    term = kTerms[entry];
    value = report[first + entry];
    batch = i / kReportEntries;
    image_ids = pending.batches[batch].image_ids;
    break;
  }
  const int64_t batch_index = step_ * parts_.config.accumulate_steps() + batch;
  std::string message = absl::StrCat(
      "step ", pending.number, " (epoch ", batch_index / batches_per_epoch_ + 1, ", batch ",
      batch_index % batches_per_epoch_ + 1, " of ", batches_per_epoch_, "): the ", term, " is ",
      value, " for images ", ImageList(image_ids), "; the weights are those of step ", step_);
  if (HasRunFolder()) {
    const std::string path =
        absl::StrCat(parts_.run_folder, "/nonfinite_step_", pending.number, ".pt");
    TensorArchiveWriter archive;
    Checkpoint before = State();
    before.cpu_random_state = pending.cpu_random_state;
    before.device_random_state = pending.device_random_state;
    AddCheckpoint(before, archive);
    for (size_t i = 0; i < pending.batches.size(); ++i) {
      const Batch& each = pending.batches[i];
      const std::string prefix = absl::StrCat("batch", i, "/");
      archive.AddTensor(prefix + "images", each.images);
      archive.AddTensor(prefix + "boxes", each.truth.boxes);
      archive.AddTensor(prefix + "labels", each.truth.labels);
      archive.AddTensor(prefix + "ignore", each.truth.ignore);
      archive.AddTensor(prefix + "image_ids", at::tensor(each.image_ids, at::kLong));
      archive.AddTensor(prefix + "losses",
                        pending.report.slice(0, i * kReportEntries, (i + 1) * kReportEntries));
    }
    archive.AddTensor("gradient_norm", pending.report[pending.report.numel() - 1]);
    archive.AddText("message", message);
    const absl::Status written = archive.Write(path);
    absl::StrAppend(&message, written.ok()
                                  ? absl::StrCat("; the weights and the batch are in ", path)
                                  : absl::StrCat("; ", written.message()));
  }
  return absl::AbortedError(message);
}

void Trainer::Log() {
  const double now = Now();
  StepRecord record;
  record.step = step_;
  record.total_steps = length_.total_steps;
  record.epoch = EpochOf(step_);
  record.total_epochs = static_cast<int64_t>(std::ceil(EpochOf(length_.total_steps) - 1e-6));
  const double steps = static_cast<double>(window_.steps());
  record.loss = window_.loss() / steps;
  record.classification_loss = window_.classification_loss() / steps;
  record.localization_loss = window_.localization_loss() / steps;
  record.gradient_norm = window_.gradient_norm() / steps;
  record.learning_rate =
      parts_.optimizer->base_learning_rate() * parts_.schedule->Multiplier(step_ - 1);
  record.images_per_second = static_cast<double>(trained_images_) / trained_;
  record.data_wait_share = waited_ / trained_;
  const BatchSourceStatistics loaded = parts_.batches->statistics();
  AddLoading(loaded_, loaded, record);
  loaded_ = loaded;
  record.seconds = now - start_;
  record.seconds_left = (now - start_) / static_cast<double>(step_ - first_step_) *
                        static_cast<double>(length_.total_steps - step_);
  for (TrainingObserver* observer : parts_.observers) observer->OnStep(record);
  window_.Clear();
  waited_ = trained_ = 0;
  trained_images_ = 0;
}

absl::Status Trainer::Evaluate() {
  const AveragedWeightsScope averaged(average_.get());
  if (parts_.evaluate == nullptr) {
    if (step_ < length_.total_steps) return absl::OkStatus();
    best_.emplace().set_step(step_);
    return SaveBest();
  }
  const double start = Now();
  SSD_ASSIGN_OR_RETURN(const Metrics metrics, parts_.evaluate(*parts_.detector));
  parts_.detector->train();
  EvaluationRecord record;
  record.step = step_;
  record.epoch = EpochOf(step_);
  record.metrics = &metrics;
  record.seconds = Now() - start;

  std::optional<double> metric;
  if (!metrics.values.empty()) metric = metrics.values[0].second;
  // A metric that does not exist is better than nothing but worse than any number.
  record.best = !best_.has_value() ||
                (metric.has_value() && (!best_->has_metric() || *metric > best_->metric()));
  if (record.best) {
    CheckpointState::Best& best = best_.emplace();
    best.set_step(step_);
    if (metric.has_value()) best.set_metric(*metric);
    SSD_RETURN_IF_ERROR(SaveBest());
  }
  for (TrainingObserver* observer : parts_.observers) observer->OnEvaluation(record);
  return absl::OkStatus();
}

absl::Status Trainer::SaveBest() {
  if (!HasRunFolder() || parts_.save_best == nullptr) return absl::OkStatus();
  return parts_.save_best(*parts_.detector, parts_.run_folder + "/checkpoints/best.pt");
}

absl::Status Trainer::SaveLast() {
  saved_step_ = step_;
  if (HasRunFolder()) {
    // What has been reported reaches the disk first: a resumed run cuts lines after its checkpoint,
    // but could not make up missing ones.
    for (TrainingObserver* observer : parts_.observers) observer->OnCheckpoint(step_);
    SSD_RETURN_IF_ERROR(WriteCheckpoint(parts_.run_folder + "/checkpoints/last.pt", State()));
  }
  saved_at_ = Now();  // after the writing, however long it takes
  return absl::OkStatus();
}

Checkpoint Trainer::State() const {
  Checkpoint checkpoint;
  checkpoint.state.set_step(step_);
  checkpoint.state.set_data_digest(parts_.data_digest);
  *checkpoint.state.mutable_window() = window_;
  if (best_.has_value()) *checkpoint.state.mutable_best() = *best_;
  checkpoint.config_text = parts_.config_text;
  checkpoint.model = ModelState();
  checkpoint.optimizer = parts_.optimizer->State();
  if (average_ != nullptr) checkpoint.average = average_->State();
  checkpoint.cpu_random_state = RandomState(at::kCPU);
  if (!parts_.device.is_cpu()) checkpoint.device_random_state = RandomState(parts_.device);
  return checkpoint;
}

StateTensors Trainer::ModelState() const {
  StateTensors state;
  for (const auto& item : parts_.detector->named_parameters()) {
    state.emplace_back(item.key(), item.value().detach());
  }
  for (const auto& item : parts_.detector->named_buffers()) {
    state.emplace_back(item.key(), item.value());
  }
  return state;
}

double Trainer::EpochOf(int64_t step) const {
  return static_cast<double>(step) / length_.steps_per_epoch;
}

}  // namespace ssd
