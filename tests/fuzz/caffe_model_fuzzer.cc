// Caffe's models: ssd/weights/caffe_model.h.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "ssd/weights/caffe_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  ssd::LooksLikeCaffeModel(bytes);
  const absl::StatusOr<ssd::WeightFile> file = ssd::ParseCaffeModel(bytes, "fuzz.caffemodel");
  if (!file.ok()) return 0;
  size_t read = 0;
  for (const auto& [name, tensor] : file->tensors) {
    read += tensor.nbytes();
    tensor.to(at::kDouble).sum();
  }
  if (read > size) __builtin_trap();
  return 0;
}
