#ifndef EXPERIMENTS_FOLDER_LOCK_H_
#define EXPERIMENTS_FOLDER_LOCK_H_

#include <string>

#include "absl/status/statusor.h"

namespace ssd {

// Keeps other processes from writing into a folder while this object lives; ends with the process,
// however that ends. Readers need no lock. Holds nothing on file systems without locks.
class FolderLock {
 public:
  // \error FailedPrecondition if another lock is held on `path`, or as FileError.
  static absl::StatusOr<FolderLock> Acquire(const std::string& path);

  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;  // of the folder; -1 once moved from
};

}  // namespace ssd

#endif  // EXPERIMENTS_FOLDER_LOCK_H_
