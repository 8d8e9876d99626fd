// safetensors files: ssd/tensor_files/safetensors.h.

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "ssd/tensor_files/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ssd::NamedTensors> file = ssd::ParseSafetensors(bytes, "fuzz.safetensors");
  if (!file.ok()) return 0;
  size_t read = 0;
  for (const auto& [name, tensor] : file->tensors) {
    read += tensor.nbytes();
    tensor.to(at::kDouble).sum();
  }
  // No byte belongs to two tensors.
  if (read > size) __builtin_trap();
  return 0;
}
