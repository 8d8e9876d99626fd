#ifndef DATA_FILE_PRESENCE_H_
#define DATA_FILE_PRESENCE_H_

#include <string>

#include "absl/status/statusor.h"

namespace ssd {

// Whether a regular file is at `path`, links followed. Where that cannot be told (no right to look,
// a failing disk, links in a ring), it is not a file that is missing. \error naming the path, as
// FileError.
absl::StatusOr<bool> IsFile(const std::string& path);

}  // namespace ssd

#endif  // DATA_FILE_PRESENCE_H_
