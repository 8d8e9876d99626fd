#ifndef SSD_TRAIN_COMPUTE_FORMAT_H_
#define SSD_TRAIN_COMPUTE_FORMAT_H_

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <string>

#include "ssd/core/types.h"
#include "ssd/train/trainer.pb.h"

namespace ssd {

// What the network's arithmetic is done in. Never AUTO nor AUTO_FORMAT.
struct ComputeFormat {
  TrainerConfig::Precision precision = TrainerConfig::FP32;
  TrainerConfig::MemoryFormat memory_format = TrainerConfig::NCHW;
};

// That of a resolved config.
ComputeFormat FormatOf(const TrainerConfig& config);

// "BF16, CHANNELS_LAST".
std::string FormatText(const ComputeFormat& format);

// Moves `module` to the device and lays out its four-dimensional parameters as `memory_format`
// says. To be done before an optimizer or an average is made, which lay out their state likewise.
void PlaceModule(torch::nn::Module& module, at::Device device,
                 TrainerConfig::MemoryFormat memory_format);

// [B, 3, H, W] images on the device and in the layout; without waiting where they are pinned.
Tensor PlaceImages(const Tensor& images, at::Device device,
                   TrainerConfig::MemoryFormat memory_format);

// While it lives, this thread's eligible operators on `device` run in `precision`: under autocast
// for BF16. Casts of weights are kept until it ends, so it spans one forward pass.
class AutocastScope {
 public:
  AutocastScope(at::Device device, TrainerConfig::Precision precision);
  ~AutocastScope();
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_before_;
  at::ScalarType dtype_before_;
};

}  // namespace ssd

#endif  // SSD_TRAIN_COMPUTE_FORMAT_H_
