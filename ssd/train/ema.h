#ifndef SSD_TRAIN_EMA_H_
#define SSD_TRAIN_EMA_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "ssd/core/types.h"
#include "ssd/train/trainer.pb.h"

namespace ssd {

// An exponential moving average of a module's parameters (Polyak and Juditsky's averaging with
// exponential weights): after step s = 0, 1, ...
//
//   average = d * average + (1 - d) * parameter,   d = min(decay, (1 + s) / (10 + s)) with ramp_up
//
// starting as a copy. Buffers are not averaged: the averaged model uses the module's own, the
// running statistics of its normalisation layers among them.
class ExponentialMovingAverage {
 public:
  // `module` must outlive this, on the device and in the layout it is trained in.
  ExponentialMovingAverage(torch::nn::Module& module, const TrainerConfig::Ema& options);

  // After optimizer step `step` (0 for the first). found_nonfinite as Optimizer::Step has it.
  void Update(int64_t step, const Tensor& found_nonfinite);

  // Exchanges the averages and the module's parameters: evaluate or save between two calls. Copies
  // and allocates nothing.
  void Swap();

  // Averages by parameter name; the tensors are the live ones. Not to be used while swapped.
  std::vector<std::pair<std::string, Tensor>> State() const;

  // \error InvalidArgument naming the first entry that is missing, unknown or of another shape.
  absl::Status LoadState(const std::vector<std::pair<std::string, Tensor>>& state);

 private:
  TrainerConfig::Ema options_;
  std::vector<std::string> names_;
  std::vector<Tensor> parameters_;
  std::vector<Tensor> averages_;
  bool swapped_ = false;
};

// The averages stand in for the parameters while it lives. A null average changes nothing.
class AveragedWeightsScope {
 public:
  explicit AveragedWeightsScope(ExponentialMovingAverage* average) : average_(average) {
    if (average_ != nullptr) average_->Swap();
  }
  ~AveragedWeightsScope() {
    if (average_ != nullptr) average_->Swap();
  }
  AveragedWeightsScope(const AveragedWeightsScope&) = delete;
  AveragedWeightsScope& operator=(const AveragedWeightsScope&) = delete;

 private:
  ExponentialMovingAverage* average_;
};

}  // namespace ssd

#endif  // SSD_TRAIN_EMA_H_
