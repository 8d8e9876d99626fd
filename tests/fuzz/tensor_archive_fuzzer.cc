// This program's own archives: ssd/model/tensor_archive.h. The input is a whole file, and then the
// index of one, with the checksum that keeps other indices from being read.

#include <ATen/core/Tensor.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "ssd/model/tensor_archive.h"
#include "ssd/tensor_files/little_endian.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/stored_zip.h"

namespace {

void Read(const std::string& path, size_t size) {
  const absl::StatusOr<ssd::TensorArchiveReader> reader = ssd::TensorArchiveReader::Open(path);
  if (!reader.ok()) return;
  size_t read = 0;
  for (const std::string& name : reader->tensor_names()) {
    const absl::StatusOr<ssd::Tensor> tensor = reader->ReadTensor(name);
    if (!tensor.ok()) continue;
    if (tensor->sizes().vec() != reader->TensorShape(name)) __builtin_trap();
    read += tensor->nbytes();
    tensor->to(at::kDouble).sum();
  }
  // No byte belongs to two tensors.
  if (read > size) __builtin_trap();
  for (const char* const text : {"model", "labels", "experiment"}) {
    reader->ReadText(text).status().IgnoreError();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const file = new ssd::MemoryFile;
  file->Write(data, size);
  Read(file->path(), size);

  std::string index(reinterpret_cast<const char*>(data), size);
  ssd::AppendLittleEndian(crc32_z(0, data, size), 4, index);
  const std::string zeros(16, '\0');
  const std::string labels = "classes { name: 'a' source_id: 1 }\n";
  const std::string zip = ssd::StoredZip({{"fuzz/data/0", zeros},
                                          {"fuzz/index", index},
                                          {"fuzz/text/labels", labels},
                                          {"fuzz/version", "3\n"}});
  file->Write(zip.data(), zip.size());
  Read(file->path(), zip.size());
  return 0;
}
