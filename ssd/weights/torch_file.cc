#include "ssd/weights/torch_file.h"

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/mapped_file.h"
#include "ssd/weights/torch_legacy_file.h"
#include "ssd/weights/torch_zip_file.h"

namespace ssd {

absl::StatusOr<WeightFile> ParseTorchFile(absl::string_view bytes, const std::string& path) {
  if (absl::StartsWith(bytes, "PK")) return ParseTorchZip(bytes, path);
  if (absl::StartsWith(bytes, "\x80")) return ParseTorchLegacy(bytes, path);
  constexpr size_t kTarSignature = 257;
  if (bytes.size() > kTarSignature && absl::StartsWith(bytes.substr(kTarSignature), "ustar")) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        ": is a tar file, as PyTorch before 0.1.10 wrote; take the file that torchvision names "
        "today (resnet18-f37072fd.pth, resnet50-0676ba61.pth), or convert it in Python: "
        "torch.save(torch.load(old, weights_only=False), new)"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": is no file of PyTorch's: it begins neither as a zip file nor as a "
                   "pickle"));
}

absl::StatusOr<WeightFile> ReadTorchFile(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseTorchFile(file.bytes(), path);
}

}  // namespace ssd
