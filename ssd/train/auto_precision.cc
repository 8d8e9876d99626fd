#include "ssd/train/auto_precision.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ssd/core/exception_status.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/core/random_state.h"

namespace ssd {
namespace {

// A candidate must be this much faster than those before it.
constexpr double kLeastGain = 1.05;
constexpr int kTimedSteps = 3;
// No further step of a candidate begins after so long.
constexpr double kEnoughSeconds = 3;
// Images a step on the CPU, where time grows with the batch; an accelerator has to be filled.
constexpr int64_t kImagesOnCpu = 8;

bool HasBf16Instructions(at::Device device) {
  if (!device.is_cpu()) return true;  // where they are slow, the timing tells
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

std::vector<ComputeFormat> Candidates(const TrainerConfig& config, at::Device device) {
  std::vector<TrainerConfig::Precision> precisions = {config.precision()};
  if (config.precision() == TrainerConfig::AUTO) {
    precisions = {TrainerConfig::FP32};
    if (HasBf16Instructions(device)) precisions.push_back(TrainerConfig::BF16);
  }
  std::vector<TrainerConfig::MemoryFormat> memory_formats = {config.memory_format()};
  if (config.memory_format() == TrainerConfig::AUTO_FORMAT) {
    memory_formats = {TrainerConfig::NCHW, TrainerConfig::CHANNELS_LAST};
  }
  std::vector<ComputeFormat> candidates;
  for (const auto precision : precisions) {
    for (const auto memory_format : memory_formats) {
      candidates.push_back({precision, memory_format});
    }
  }
  return candidates;
}

// Noise with one object in each image.
Batch MadeUpBatch(const SsdDetector& detector, int64_t batch_size) {
  const ImageSize size = detector.input_size();
  Batch batch;
  batch.images = at::empty({batch_size, 3, size.height, size.width}, at::kByte,
                           at::MemoryFormat::ChannelsLast);
  Random random(0, 0, 0);
  uint8_t* const pixels = batch.images.mutable_data_ptr<uint8_t>();
  for (int64_t i = 0; i < batch.images.numel(); ++i) pixels[i] = random() >> 24;
  batch.truth.boxes = at::zeros({batch_size, 8, 4});
  batch.truth.labels = at::zeros({batch_size, 8}, at::kLong);
  batch.truth.ignore = at::zeros({batch_size, 8}, at::kBool);
  auto boxes = batch.truth.boxes.accessor<float, 3>();
  auto labels = batch.truth.labels.accessor<int64_t, 2>();
  for (int64_t b = 0; b < batch_size; ++b) {
    boxes[b][0][0] = boxes[b][0][1] = 0.25f;
    boxes[b][0][2] = boxes[b][0][3] = 0.75f;
    labels[b][0] = 1;
  }
  return batch;
}

// Seconds of the fastest step; infinity where the device refuses the format.
double SecondsPerStep(SsdDetector& detector, const Batch& batch, at::Device device,
                      const ComputeFormat& format) {
  using Clock = std::chrono::steady_clock;
  try {
    PlaceModule(detector, device, format.memory_format);
    const Truth truth = {batch.truth.boxes.to(device), batch.truth.labels.to(device),
                         batch.truth.ignore.to(device)};
    double fastest = std::numeric_limits<double>::infinity();
    double total = 0;
    // The first step allocates and lets libraries choose their algorithms.
    for (int step = 0; step <= kTimedSteps && (step < 2 || total < kEnoughSeconds); ++step) {
      const auto start = Clock::now();
      Predictions predictions;
      {
        const AutocastScope autocast(device, format.precision);
        predictions = detector.Forward(PlaceImages(batch.images, device, format.memory_format));
      }
      const Losses losses = detector.ComputeLosses(predictions, truth);
      losses.total.backward();
      // Every gradient has been computed once this one can be read.
      for (const Tensor& parameter : detector.parameters()) {
        if (!parameter.grad().defined()) continue;
        parameter.grad().flatten().slice(0, 0, 1).to(at::kCPU);
        break;
      }
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      total += seconds;
      if (step > 0) fastest = std::min(fastest, seconds);
      for (Tensor& parameter : detector.parameters()) parameter.mutable_grad().reset();
    }
    return fastest;
  } catch (const std::exception& error) {  // oneDNN's are no c10::Error
    LOG(WARNING) << FormatText(format)
                 << " cannot be used here: " << ExceptionStatus(error).message();
    for (Tensor& parameter : detector.parameters()) parameter.mutable_grad().reset();
    return std::numeric_limits<double>::infinity();
  }
}

}  // namespace

std::string MeasuredFormat::Summary() const {
  std::string chosen, others;
  for (const FormatTiming& timing : timings) {
    const std::string speed = absl::StrFormat("%.1f", timing.images_per_second);
    if (FormatText(timing.format) == FormatText(format)) {
      chosen = speed + " img/s";
    } else {
      absl::StrAppend(&others, "; ", FormatText(timing.format), ": ", speed);
    }
  }
  if (timings.empty()) return "trains in " + FormatText(format);
  return absl::StrCat("trains in ", FormatText(format), " (", chosen, others, ")");
}

MeasuredFormat MeasureFormat(SsdDetector& detector, const TrainerConfig& config, int64_t batch_size,
                             at::Device device) {
  MeasuredFormat measured;
  const std::vector<ComputeFormat> candidates = Candidates(config, device);
  measured.format = candidates[0];
  if (candidates.size() > 1) {
    const RandomStateScope cpu_random_state;
    const RandomStateScope device_random_state(device);
    std::vector<std::pair<Tensor, Tensor>> buffers;  // and their values
    for (const Tensor& buffer : detector.buffers()) {
      buffers.emplace_back(buffer, buffer.clone());
    }
    const bool was_training = detector.is_training();
    detector.train();

    const Batch batch =
        MadeUpBatch(detector, device.is_cpu() ? std::min(batch_size, kImagesOnCpu) : batch_size);
    double fastest = std::numeric_limits<double>::infinity();
    for (const ComputeFormat& candidate : candidates) {
      const double seconds = SecondsPerStep(detector, batch, device, candidate);
      measured.timings.push_back({candidate, static_cast<double>(batch.images.size(0)) / seconds});
      if (seconds * kLeastGain < fastest) {
        fastest = seconds;
        measured.format = candidate;
      }
    }

    detector.train(was_training);
    {
      at::NoGradGuard no_grad;
      for (auto& [buffer, value] : buffers) buffer.copy_(value);
    }
  }
  PlaceModule(detector, device, measured.format.memory_format);
  return measured;
}

}  // namespace ssd
