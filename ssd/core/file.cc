#include "ssd/core/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

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

AtomicFile::AtomicFile(const std::string& path)
    : path_(path), temporary_(absl::StrCat(path, ".", getpid(), ".tmp")) {
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file_ < 0) error_ = errno;
}

AtomicFile::~AtomicFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_.c_str());
}

void AtomicFile::Append(absl::string_view content) {
  while (error_ == 0 && !content.empty()) {
    const ssize_t written = write(file_, content.data(), content.size());
    if (written >= 0) {
      content.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
}

absl::Status AtomicFile::status() const {
  return error_ == 0 ? absl::OkStatus() : FileError(error_, "cannot write", path_);
}

absl::Status AtomicFile::Commit() {
  if (error_ != 0) return status();
  // rename() makes the file visible at once, but its bytes may still be in memory.
  if (fsync(file_) != 0) error_ = errno;
  // Some file systems tell of a full disk here.
  if (close(std::exchange(file_, -1)) != 0 && error_ == 0) error_ = errno;
  if (error_ == 0 && rename(temporary_.c_str(), path_.c_str()) != 0) error_ = errno;
  if (error_ != 0) unlink(temporary_.c_str());
  return status();
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content) {
  AtomicFile file(path);
  file.Append(content);
  return file.Commit();
}

}  // namespace ssd
