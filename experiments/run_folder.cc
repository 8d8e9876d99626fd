#include "experiments/run_folder.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ssd/core/file.h"

namespace ssd {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestName = 200;

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

// Whether all in `folder` is what RunFolder::Create puts there.
bool IsUnfinished(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(fs::symlink_status(folder, error))) return false;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool expected = name == "config.textproto" || name == "run.json" || IsLeftover(name) ||
                          (name == "checkpoints" && fs::is_empty(entry->path(), error));
    if (!expected) return false;
  }
  return !error;
}

// Removes folders that processes which are no more had begun to make as `stem`. One with this
// process's own number is of another that had it before.
void RemoveUnfinished(const fs::path& stem) {
  const std::string prefix = stem.filename().string() + ".";
  const fs::path parent = stem.has_parent_path() ? stem.parent_path() : fs::path(".");
  std::vector<fs::path> unfinished;
  std::error_code error;
  for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    absl::string_view number = name;
    pid_t process = 0;
    if (!absl::ConsumePrefix(&number, prefix) || !absl::ConsumeSuffix(&number, ".tmp") ||
        !absl::SimpleAtoi(number, &process) || process <= 0) {
      continue;
    }
    const bool gone = process == getpid() || (kill(process, 0) != 0 && errno == ESRCH);
    if (gone && IsUnfinished(entry->path())) unfinished.push_back(entry->path());
  }
  for (const fs::path& folder : unfinished) fs::remove_all(folder, error);
}

}  // namespace

absl::Status CheckFolderName(absl::string_view what, absl::string_view name) {
  const bool is_control_free = std::none_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  if (!name.empty() && name != "." && name != ".." && name.size() <= kLongestName &&
      name.find('/') == absl::string_view::npos && is_control_free) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, ": '", absl::Utf8SafeCHexEscape(name), "' must be the name of one folder, of 1 to ",
      kLongestName, " bytes, without '/' and control characters, and neither . nor .."));
}

RunFolder::RunFolder(std::string path) : path_(std::move(path)) {}

absl::Status RunFolder::CheckNew(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(
      path, ": --output exists already; add --resume to go on with it, or name another folder"));
}

absl::StatusOr<RunFolder> RunFolder::Create(const std::string& path, const std::string& name,
                                            const std::string& working_directory,
                                            absl::string_view config, absl::string_view record) {
  std::error_code error;
  std::string stem = path.empty() ? Stem(name, working_directory) : path;
  while (stem.size() > 1 && stem.back() == '/') stem.pop_back();
  if (!path.empty()) {
    if (absl::Status status = CheckNew(stem); !status.ok()) return status;
  }
  RemoveUnfinished(stem);
  const RunFolder unfinished(absl::StrCat(stem, ".", getpid(), ".tmp"));
  fs::create_directories(unfinished.path() + "/checkpoints", error);
  if (error) return FileError(error.value(), "cannot make the run folder", stem);
  absl::Status status = WriteFileAtomically(unfinished.config(), config);
  status.Update(WriteFileAtomically(unfinished.record(), record));
  std::string chosen = path.empty() ? std::string() : stem;
  if (status.ok()) {
    std::string taken;
    do {
      taken = chosen;
      if (path.empty()) chosen = NextFolder(name, working_directory);
      fs::rename(unfinished.path(), chosen, error);
      // Another process may have taken the number in between; then the next one is another.
    } while (path.empty() && chosen != taken &&
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
