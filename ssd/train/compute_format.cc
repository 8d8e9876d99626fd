#include "ssd/train/compute_format.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

at::MemoryFormat ToTorch(TrainerConfig::MemoryFormat memory_format) {
  CHECK(memory_format != TrainerConfig::AUTO_FORMAT);
  return memory_format == TrainerConfig::CHANNELS_LAST ? at::MemoryFormat::ChannelsLast
                                                       : at::MemoryFormat::Contiguous;
}

}  // namespace

ComputeFormat FormatOf(const TrainerConfig& config) {
  CHECK(config.precision() != TrainerConfig::AUTO);
  CHECK(config.memory_format() != TrainerConfig::AUTO_FORMAT);
  return {config.precision(), config.memory_format()};
}

std::string FormatText(const ComputeFormat& format) {
  return absl::StrCat(TrainerConfig::Precision_Name(format.precision), ", ",
                      TrainerConfig::MemoryFormat_Name(format.memory_format));
}

void PlaceModule(torch::nn::Module& module, at::Device device,
                 TrainerConfig::MemoryFormat memory_format) {
  module.to(device);
  at::NoGradGuard no_grad;
  for (Tensor& parameter : module.parameters()) {
    if (parameter.dim() == 4) {
      parameter.set_data(parameter.variable_data().contiguous(ToTorch(memory_format)));
    }
  }
}

Tensor PlaceImages(const Tensor& images, at::Device device,
                   TrainerConfig::MemoryFormat memory_format) {
  return images.to(device, /*non_blocking=*/true).contiguous(ToTorch(memory_format));
}

AutocastScope::AutocastScope(at::Device device, TrainerConfig::Precision precision)
    : device_(device.type()),
      enabled_before_(at::autocast::is_autocast_enabled(device_)),
      dtype_before_(at::autocast::get_autocast_dtype(device_)) {
  CHECK(precision != TrainerConfig::AUTO);
  at::autocast::increment_nesting();
  at::autocast::set_autocast_enabled(device_, precision == TrainerConfig::BF16);
  if (precision == TrainerConfig::BF16) at::autocast::set_autocast_dtype(device_, at::kBFloat16);
}

AutocastScope::~AutocastScope() {
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, dtype_before_);
}

}  // namespace ssd
