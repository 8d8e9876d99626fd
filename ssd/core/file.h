#ifndef SSD_CORE_FILE_H_
#define SSD_CORE_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// The file's bytes. \error NotFound, PermissionDenied or Internal naming the file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Replaces the file by `content` whole or not at all: written beside it, flushed to the disk, then
// renamed. \error naming the file: ResourceExhausted when the disk is full, NotFound when its
// folder does not exist, PermissionDenied, Internal. The old file is intact after an error.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);

// The error for `errno` = `error` met when doing `what` ("cannot write") to `path`.
absl::Status FileError(int error, absl::string_view what, absl::string_view path);

}  // namespace ssd

#endif  // SSD_CORE_FILE_H_
