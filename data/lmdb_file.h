#ifndef DATA_LMDB_FILE_H_
#define DATA_LMDB_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct MDB_env;
struct MDB_txn;

namespace ssd {

// One table of keys and values in one LMDB file, for reading: mapped into memory, without a lock
// file, so that it may lie on a read-only disk. Thread-safe. The file must not change while it is
// open.
class LmdbFile {
 public:
  // Checks every page but those of long values before LMDB sees the file: LMDB takes a file's
  // structure for granted, and would read outside of a truncated or damaged one.
  // \error NotFound, PermissionDenied; DataLoss for what is no LMDB file, or not a whole one; each
  // names the file.
  static absl::StatusOr<std::unique_ptr<LmdbFile>> Open(const std::string& path);
  ~LmdbFile();
  LmdbFile(const LmdbFile&) = delete;
  LmdbFile& operator=(const LmdbFile&) = delete;

  // \error NotFound for a key that is not there; DataLoss.
  absl::StatusOr<std::string> Read(absl::string_view key) const;

 private:
  LmdbFile(std::string path, MDB_env* env) : path_(std::move(path)), env_(env) {}

  const std::string path_;
  MDB_env* const env_;
};

// Writes a new LMDB file of one table. Not thread-safe.
class LmdbWriter {
 public:
  // `path` does not exist yet, or is empty. \error naming the file.
  static absl::StatusOr<std::unique_ptr<LmdbWriter>> Create(const std::string& path);
  // What was written without Finish() is of no use.
  ~LmdbWriter();
  LmdbWriter(const LmdbWriter&) = delete;
  LmdbWriter& operator=(const LmdbWriter&) = delete;

  // Keys ascend. \error ResourceExhausted when the disk is full; nothing can be written then.
  absl::Status Append(absl::string_view key, absl::string_view value);

  // Everything is on the disk afterwards. \error as Append.
  absl::Status Finish();

 private:
  LmdbWriter(std::string path, MDB_env* env) : path_(std::move(path)), env_(env) {}

  absl::Status Begin();
  absl::Status Commit();

  const std::string path_;
  MDB_env* const env_;
  MDB_txn* transaction_ = nullptr;
  int64_t pending_bytes_ = 0;
};

}  // namespace ssd

#endif  // DATA_LMDB_FILE_H_
