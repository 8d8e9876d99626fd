// PyTorch's files, zip and older: ssd/weights/torch_file.h. Most changes of a zip fail at its
// checksums; torch_zip_fuzzer.cc is for what is behind them.

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "ssd/weights/torch_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ssd::WeightFile> file = ssd::ParseTorchFile(bytes, "fuzz.pt");
  if (!file.ok()) return 0;
  // Every element can be read, and there are no more of them than the file has bytes.
  constexpr size_t kRead = 20;
  for (size_t i = 0; i < std::min(kRead, file->tensors.size()); ++i) {
    const at::Tensor& tensor = file->tensors[i].second;
    if (tensor.numel() > static_cast<int64_t>(size)) __builtin_trap();
    tensor.to(at::kDouble).sum();
  }
  return 0;
}
