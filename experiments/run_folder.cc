#include "experiments/run_folder.h"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {}

absl::StatusOr<RunFolder> RunFolder::Create(const std::string& path, const std::string& name,
                                            const std::string& working_directory) {
  std::error_code error;
  std::string chosen = path;
  if (chosen.empty()) {
    const std::string stem = absl::StrCat(working_directory, "/runs/", name);
    chosen = stem;
    for (int number = 2; fs::exists(chosen, error); ++number) {
      chosen = absl::StrCat(stem, "-", number);
    }
  } else if (fs::exists(chosen, error)) {
    return absl::AlreadyExistsError(absl::StrCat(
        chosen,
        ": --output exists already; add --resume to go on with it, or name another folder"));
  }
  if (!fs::create_directories(chosen + "/checkpoints", error)) {
    return FileError(error ? error.value() : EEXIST, "cannot make the run folder", chosen);
  }
  return RunFolder(std::move(chosen));
}

absl::StatusOr<RunFolder> RunFolder::Open(const std::string& path) {
  RunFolder folder(path);
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such run folder"));
  }
  if (!fs::exists(folder.config(), error)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": no run folder: config.textproto is missing in it"));
  }
  return folder;
}

}  // namespace ssd
