#include "experiments/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

// runs/<name>, of which there may be several by number.
std::string Stem(const std::string& name, const std::string& working_directory) {
  return absl::StrCat(working_directory, "/runs/", name);
}

std::string Numbered(const std::string& stem, int64_t number) {
  return number <= 1 ? stem : absl::StrCat(stem, "-", number);
}

// The highest number of a folder; 1: only the stem itself is there; 0: nothing is.
int64_t HighestNumber(const fs::path& stem) {
  const std::string name = stem.filename().string();
  int64_t highest = 0;
  std::error_code error;
  for (fs::directory_iterator entry(stem.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    absl::string_view rest = file;
    if (!absl::ConsumePrefix(&rest, name)) continue;
    int64_t number = 1;
    const bool numbered = absl::ConsumePrefix(&rest, "-") && absl::SimpleAtoi(rest, &number) &&
                          number > 1 && rest == absl::StrCat(number);
    if (file == name || numbered) highest = std::max(highest, number);
  }
  return highest;
}

// Whether `name` is NAME.PID.tmp.
bool IsLeftover(absl::string_view name) {
  if (!absl::ConsumeSuffix(&name, ".tmp")) return false;
  const size_t dot = name.rfind('.');
  if (dot == absl::string_view::npos || dot == 0 || dot + 1 == name.size()) return false;
  const absl::string_view process = name.substr(dot + 1);
  return std::all_of(process.begin(), process.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

}  // namespace

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {}

absl::StatusOr<RunFolder> RunFolder::Create(const std::string& path, const std::string& name,
                                            const std::string& working_directory,
                                            absl::string_view config, absl::string_view record) {
  std::error_code error;
  std::string stem = path.empty() ? Stem(name, working_directory) : path;
  while (stem.size() > 1 && stem.back() == '/') stem.pop_back();
  if (!path.empty() && fs::exists(stem, error)) {
    return absl::AlreadyExistsError(absl::StrCat(
        stem, ": --output exists already; add --resume to go on with it, or name another folder"));
  }
  const RunFolder unfinished(absl::StrCat(stem, ".", getpid(), ".tmp"));
  fs::create_directories(unfinished.path() + "/checkpoints", error);
  if (error) return FileError(error.value(), "cannot make the run folder", stem);
  absl::Status status = WriteFileAtomically(unfinished.config(), config);
  status.Update(WriteFileAtomically(unfinished.record(), record));
  std::string chosen = stem;
  if (status.ok()) {
    do {
      if (path.empty()) chosen = NextFolder(name, working_directory);
      fs::rename(unfinished.path(), chosen, error);
      // Another process may have taken the number in between.
    } while (path.empty() &&
             (error == std::errc::directory_not_empty || error == std::errc::file_exists));
    if (error) status = FileError(error.value(), "cannot make the run folder", chosen);
  }
  if (!status.ok()) {
    fs::remove_all(unfinished.path(), error);
    return status;
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

void RunFolder::RemoveAllLeftovers() const {
  RemoveLeftovers(path_);
  RemoveLeftovers(path_ + "/checkpoints");
}

std::string NextFolder(const std::string& name, const std::string& working_directory) {
  const std::string stem = Stem(name, working_directory);
  return Numbered(stem, HighestNumber(stem) + 1);
}

std::string LatestFolder(const std::string& name, const std::string& working_directory) {
  const std::string stem = Stem(name, working_directory);
  return Numbered(stem, HighestNumber(stem));
}

void RemoveLeftovers(const std::string& folder) {
  std::vector<fs::path> leftovers;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_regular_file(ignored) && IsLeftover(entry->path().filename().string())) {
      leftovers.push_back(entry->path());
    }
  }
  for (const fs::path& leftover : leftovers) fs::remove(leftover, error);
}

}  // namespace ssd
