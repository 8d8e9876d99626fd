// Pickles in PyTorch's zip files, to which the zip's checksums bar torch_file_fuzzer.cc the way.
// The input is data.pkl; the file around it has every storage that the pickle names, of its size.

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/torch_file.h"
#include "ssd/weights/torch_tensors.h"
#include "tests/fuzz/stored_zip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view pickled(reinterpret_cast<const char*>(data), size);
  std::map<std::string, absl::string_view> entries = {{"fuzz/data.pkl", pickled}};
  const absl::StatusOr<ssd::Pickle> pickle = ssd::Pickle::Parse(pickled, "fuzz.pkl");
  if (pickle.ok()) {
    constexpr size_t kLongestKey = 1000;
    constexpr size_t kMostStorages = 64;
    static const std::string zeros(size_t{1} << 16, '\0');
    for (const ssd::PickleValue* const value : pickle->persistent()) {
      const absl::StatusOr<ssd::TorchStorageId> id = ssd::ParseTorchStorageId(*value, "fuzz.pkl");
      if (!id.ok() || id->key.size() > kLongestKey || entries.size() > kMostStorages) continue;
      const std::optional<int64_t> bytes = id->bytes();
      if (!bytes || *bytes > static_cast<int64_t>(zeros.size())) continue;
      entries.emplace(absl::StrCat("fuzz/data/", id->key),
                      absl::string_view(zeros).substr(0, static_cast<size_t>(*bytes)));
    }
  }
  const std::string zip = ssd::StoredZip(entries);
  const absl::StatusOr<ssd::WeightFile> file = ssd::ParseTorchFile(zip, "fuzz.pt");
  if (!file.ok()) return 0;
  constexpr size_t kRead = 20;
  for (size_t i = 0; i < std::min(kRead, file->tensors.size()); ++i) {
    const at::Tensor& tensor = file->tensors[i].second;
    if (tensor.numel() > static_cast<int64_t>(zip.size())) __builtin_trap();
    tensor.to(at::kDouble).sum();
  }
  return 0;
}
