#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

// Reads up to `size` bytes; fewer at the end of the file.
absl::StatusOr<int> Read(gzFile file, const std::string& path, uint8_t* bytes, unsigned size) {
  const int read = gzread(file, bytes, size);
  int error = Z_OK;
  const char* const message = gzerror(file, &error);
  // Z_BUF_ERROR: the gzip stream ends early, which the caller finds by the count.
  if (read >= 0 && (error == Z_OK || error == Z_BUF_ERROR)) return read;
  return absl::DataLossError(
      absl::StrCat(path, ": damaged gzip data (", message, "); fetch the file again"));
}

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path) {
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    return FileError(EISDIR, "cannot read", path);
  }
  errno = 0;
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return FileError(errno, "cannot read", path);
  const absl::Cleanup close_file = [file] { gzclose_r(file); };

  const auto not_idx = [&path](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", what, "; want an IDX file of unsigned bytes, as MNIST's are"));
  };
  uint8_t magic[4];
  SSD_ASSIGN_OR_RETURN(const int magic_size, Read(file, path, magic, sizeof(magic)));
  if (magic_size != sizeof(magic)) return not_idx("shorter than a header");
  constexpr uint8_t kUnsignedByte = 0x08;
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kUnsignedByte) {
    return not_idx(absl::StrCat("starts with bytes ", magic[0], " ", magic[1], " ", magic[2],
                                " instead of 0 0 8"));
  }
  const int rank = magic[3];
  constexpr int kHighestRank = 4;
  if (rank < 1 || rank > kHighestRank) return not_idx(absl::StrCat(rank, " dimensions"));

  IdxArray array;
  int64_t size = 1;
  for (int i = 0; i < rank; ++i) {
    uint8_t bytes[4];
    SSD_ASSIGN_OR_RETURN(const int bytes_read, Read(file, path, bytes, sizeof(bytes)));
    if (bytes_read != sizeof(bytes)) return not_idx("ends within its header");
    const int64_t dimension = int64_t{bytes[0]} << 24 | int64_t{bytes[1]} << 16 |
                              int64_t{bytes[2]} << 8 | int64_t{bytes[3]};
    array.shape.push_back(dimension);
    if (dimension == 0 || dimension > kMaxIdxBytes / size) {
      return not_idx(absl::StrCat("a dimension of ", dimension, " in shape (",
                                  absl::StrJoin(array.shape, ", "), ")"));
    }
    size *= dimension;
  }

  constexpr int64_t kChunk = int64_t{1} << 20;
  while (static_cast<int64_t>(array.values.size()) < size) {
    const size_t held = array.values.size();
    const int64_t wanted = std::min(kChunk, size - static_cast<int64_t>(held));
    array.values.resize(held + static_cast<size_t>(wanted));
    SSD_ASSIGN_OR_RETURN(const int read, Read(file, path, array.values.data() + held,
                                              static_cast<unsigned>(wanted)));
    if (read == wanted) continue;
    return absl::DataLossError(absl::StrCat(path, ": holds ", held + static_cast<size_t>(read),
                                            " of the ", size,
                                            " values that its header announces; fetch it again"));
  }
  // Reading on to the end also checks gzip's sum.
  uint8_t more;
  SSD_ASSIGN_OR_RETURN(const int trailing, Read(file, path, &more, 1));
  if (trailing != 0) {
    return absl::DataLossError(absl::StrCat(path, ": goes on after the ", size,
                                            " values that its header announces; fetch it again"));
  }
  return array;
}

}  // namespace ssd
