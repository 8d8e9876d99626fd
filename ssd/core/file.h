#ifndef SSD_CORE_FILE_H_
#define SSD_CORE_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// The file's bytes. \error NotFound, PermissionDenied or Internal naming the file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Its first `size` bytes; of a shorter file, all. \error as ReadFile.
absl::StatusOr<std::string> ReadFilePrefix(const std::string& path, size_t size);

// Replaces a file whole or not at all: what is appended is written beside it (NAME.PID.tmp), and
// Commit() flushes it to the disk and gives it its name. Without Commit(), or after an error, the
// old file is intact.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // After an error does nothing.
  void Append(absl::string_view content);

  // The first error so far, naming the file: ResourceExhausted when the disk is full, NotFound when
  // its folder does not exist, PermissionDenied, Internal.
  absl::Status status() const;

  // Once, after the last Append(). \error as status().
  absl::Status Commit();

 private:
  const std::string path_;
  const std::string temporary_;
  int file_ = -1;  // open until Commit()
  int error_ = 0;  // errno
};

// Replaces the file by `content` whole or not at all. \error as AtomicFile::status().
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);

// The error for `errno` = `error` met when doing `what` ("cannot write") to `path`.
absl::Status FileError(int error, absl::string_view what, absl::string_view path);

// The message of `status` without the "PATH: " that it begins with, for those who name the file
// beside it.
std::string MessageWithoutFile(const absl::Status& status, absl::string_view path);

}  // namespace ssd

#endif  // SSD_CORE_FILE_H_
