#include "ssd/weights/torch_zip_file.h"

#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"
#include "ssd/tensor_files/zip_archive.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/torch_tensors.h"
#include "ssd/weights/torch_weights.h"

namespace ssd {
namespace {

class ZipStorages : public TorchStorages {
 public:
  ZipStorages(const ZipArchive& archive, std::string folder)
      : archive_(archive), folder_(std::move(folder)) {}

  absl::StatusOr<absl::string_view> Find(const std::string& key) const override {
    return archive_.Read(absl::StrCat(folder_, "data/", key));
  }

 private:
  const ZipArchive& archive_;
  std::string folder_;
};

}  // namespace

absl::StatusOr<WeightFile> ParseTorchZip(absl::string_view bytes, const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Open(bytes, path));
  // All entries are in one folder, which has the file's first name.
  std::string pickle_name;
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
    if (!pickle_name.empty()) {
      return absl::DataLossError(
          absl::StrCat(path, ": holds two pickles, '", pickle_name, "' and '", name, "'"));
    }
    pickle_name = name;
  }
  if (pickle_name.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a zip file, but not of PyTorch's: it has no 'data.pkl' in its folder"));
  }
  const std::string folder = pickle_name.substr(0, pickle_name.find('/') + 1);
  if (archive.entries().count(folder + "byteorder") > 0) {
    SSD_ASSIGN_OR_RETURN(const absl::string_view order, archive.Read(folder + "byteorder"));
    if (order != "little") {
      return absl::InvalidArgumentError(absl::StrCat(path, ": was written with byte order '",
                                                     order.substr(0, 20),
                                                     "'; only little-endian files are read"));
    }
  }
  SSD_ASSIGN_OR_RETURN(const absl::string_view pickled, archive.Read(pickle_name));
  const size_t begin = static_cast<size_t>(pickled.data() - bytes.data());
  // So that the pickle's errors tell the byte of the file, and it ends where the entry does.
  SSD_ASSIGN_OR_RETURN(const Pickle pickle,
                       Pickle::Parse(bytes.substr(0, begin + pickled.size()), path, begin));
  return CollectTorchWeights(pickle, ZipStorages(archive, folder), path);
}

}  // namespace ssd
