#ifndef SSD_TENSOR_FILES_MAPPED_FILE_H_
#define SSD_TENSOR_FILES_MAPPED_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// A file's bytes in memory, read when they are looked at. The file must not be cut while this
// lives. Movable, which moves no byte.
class MappedFile {
 public:
  // \error naming the file: NotFound, PermissionDenied, Internal; InvalidArgument for what is no
  // plain file.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  absl::string_view bytes() const { return {data_, size_}; }

 private:
  MappedFile(const char* data, size_t size) : data_(data), size_(size) {}

  const char* data_;  // null for an empty file
  size_t size_;
};

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_MAPPED_FILE_H_
