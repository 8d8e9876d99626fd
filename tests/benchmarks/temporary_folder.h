#ifndef TESTS_BENCHMARKS_TEMPORARY_FOLDER_H_
#define TESTS_BENCHMARKS_TEMPORARY_FOLDER_H_

#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace ssd {

// A folder of this process, in the one for temporary files; removed with the object.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / absl::StrCat(name, "_", getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

}  // namespace ssd

#endif  // TESTS_BENCHMARKS_TEMPORARY_FOLDER_H_
