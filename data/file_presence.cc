#include "data/file_presence.h"

#include <filesystem>
#include <system_error>

#include "ssd/core/file.h"

namespace ssd {

absl::StatusOr<bool> IsFile(const std::string& path) {
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(path, error);
  if (error && error != std::errc::no_such_file_or_directory &&
      error != std::errc::not_a_directory) {
    return FileError(error.value(), "cannot look for", path);
  }
  return is_file;
}

}  // namespace ssd
