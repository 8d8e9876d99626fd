#include "ssd/core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

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

std::string MessageWithoutFile(const absl::Status& status, absl::string_view path) {
  return std::string(absl::StripPrefix(status.message(), absl::StrCat(path, ": ")));
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  return ReadFilePrefix(path, std::numeric_limits<size_t>::max());
}

absl::StatusOr<std::string> ReadFilePrefix(const std::string& path, size_t size) {
  // Not a std::ifstream, for which a disk that fails is the file's end.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(errno, "cannot read", path);
  const auto close_file = absl::MakeCleanup([file] { close(file); });
  constexpr size_t kUnknownSize = 4096;  // pipes, and what the system makes up
  // A size that is told need not be there to be read; more memory comes with what is read.
  constexpr size_t kMostAtFirst = size_t{1} << 22;
  struct stat about;
  const bool is_known = fstat(file, &about) == 0 && about.st_size > 0;
  // A byte more, so that the end is seen without more memory.
  const size_t expected = is_known ? static_cast<size_t>(about.st_size) + 1 : kUnknownSize;
  std::string content(std::min({size, expected, kMostAtFirst}), '\0');
  size_t done = 0;
  while (done < size) {
    if (done == content.size()) content.resize(std::min(size, 2 * done));
    const ssize_t got = read(file, &content[done], content.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FileError(errno, "cannot read", path);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
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
