// MNIST's files, plain and gzip: data/idx.h.

#include <cstddef>
#include <cstdint>

#include "data/idx.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  const absl::StatusOr<ssd::IdxArray> array = ssd::ReadIdx(file->path());
  if (!array.ok()) return 0;
  size_t values = 1;
  for (const int64_t extent : array->shape) values *= static_cast<size_t>(extent);
  if (values != array->values.size()) __builtin_trap();
  return 0;
}
