#ifndef SSD_TENSOR_FILES_ZIP_ARCHIVE_H_
#define SSD_TENSOR_FILES_ZIP_ARCHIVE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// The entries of a zip file (PKWARE's APPNOTE 6.3.10, zip64 included) as PyTorch writes them: not
// compressed, so that an entry is a piece of the file. LibTorch's own reader (caffe2::serialize)
// takes an entry's word for its size, inflates, and does not compare checksums; this one is for
// files of any origin: every entry is checked to lie in the file and to share no byte with another
// before any is read, and nothing is copied.
class ZipArchive {
 public:
  // `bytes` is the whole file, and must outlive the archive; `path` names it in errors.
  // \error naming the file and the byte: InvalidArgument for no zip file; DataLoss when it is cut
  // off or corrupt, two entries have one name, or entries overlap.
  static absl::StatusOr<ZipArchive> Open(absl::string_view bytes, const std::string& path);

  // A compressed or encrypted entry may be there; it just cannot be read.
  struct Entry {
    size_t header = 0;  // byte of the file where the entry begins
    size_t offset = 0;  // byte of the file where its content begins
    size_t size = 0;
    uint32_t crc32 = 0;
    uint16_t method = 0;
    uint16_t flags = 0;
  };
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::string& path() const { return path_; }

  // \error naming the file and the entry: NotFound; InvalidArgument when it is compressed or
  // encrypted; DataLoss when its checksum is wrong.
  absl::StatusOr<absl::string_view> Read(const std::string& name) const;

 private:
  ZipArchive(absl::string_view bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

  absl::string_view bytes_;
  std::string path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_ZIP_ARCHIVE_H_
