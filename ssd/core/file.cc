#include "ssd/core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace ssd {

absl::Status FileError(int error, absl::string_view what, absl::string_view path) {
  const std::string message = absl::StrCat(path, ": ", what, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(message);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    case EISDIR:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot read", path);
  }
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return FileError(errno, "cannot read", path);
  std::ostringstream content;
  content << stream.rdbuf();
  if (stream.bad()) return FileError(errno, "cannot read", path);
  return std::move(content).str();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content) {
  const std::string temporary = absl::StrCat(path, ".", getpid(), ".tmp");
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return FileError(errno, "cannot write", path);
  auto remove_temporary = absl::MakeCleanup([&] {
    if (file >= 0) close(file);
    unlink(temporary.c_str());
  });
  while (!content.empty()) {
    const ssize_t written = write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError(errno, "cannot write", path);
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(file) != 0) return FileError(errno, "cannot write", path);
  const int closed = close(file);
  file = -1;
  if (closed != 0) return FileError(errno, "cannot write", path);
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError(errno, "cannot write", path);
  std::move(remove_temporary).Cancel();
  return absl::OkStatus();
}

}  // namespace ssd
