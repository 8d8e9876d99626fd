#ifndef EXPERIMENTS_RUN_FOLDER_H_
#define EXPERIMENTS_RUN_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Whether a folder can be called `name`: one part of a path, neither empty nor "." nor "..", of at
// most 200 bytes (255 are the limit of a file's name, and files beside it have longer ones),
// without control characters. \error InvalidArgument: "WHAT: 'NAME' must be ...".
absl::Status CheckFolderName(absl::string_view what, absl::string_view name);

// Where a run keeps its files. Only names and creates; docs/commands.md says what the files hold.
class RunFolder {
 public:
  // Whether Create can make `path`. \error AlreadyExists if it is there, with how to resume.
  static absl::Status CheckNew(const std::string& path);

  // Makes a new folder, `path` or, where that is empty, NextFolder's, that holds `config` as
  // config.textproto and `record` as run.json. It appears with both or not at all, so that a run
  // can be resumed whenever it was killed; what processes that were killed here left unfinished
  // beside it is removed. \error as CheckNew and FileError.
  static absl::StatusOr<RunFolder> Create(const std::string& path, const std::string& name,
                                          const std::string& working_directory,
                                          absl::string_view config, absl::string_view record);

  // An existing run. \error NotFound if `path` is no folder or holds no config.textproto.
  static absl::StatusOr<RunFolder> Open(const std::string& path);

  // RemoveLeftovers in all of it.
  void RemoveAllLeftovers() const;

  const std::string& path() const { return path_; }
  std::string config() const { return path_ + "/config.textproto"; }
  std::string record() const { return path_ + "/run.json"; }
  std::string metrics() const { return path_ + "/metrics.jsonl"; }
  std::string loaded_weights() const { return path_ + "/weights.txt"; }
  std::string last_checkpoint() const { return path_ + "/checkpoints/last.pt"; }
  std::string best_model() const { return path_ + "/checkpoints/best.pt"; }
  std::string final_metrics() const { return path_ + "/metrics.json"; }
  std::string detections() const { return path_ + "/detections.json"; }
  std::string report() const { return path_ + "/report.html"; }

 private:
  explicit RunFolder(std::string path);

  std::string path_;
};

// The folder that a run or sweep gets without --output: <working_directory>/runs/<name> or, where
// there is one, <name>-N with the number after the highest there is.
std::string NextFolder(const std::string& name, const std::string& working_directory);

// The one of these with the highest number, whichever are missing; <name> itself if there is none.
std::string LatestFolder(const std::string& name, const std::string& working_directory);

// Removes from `folder` (not from those in it) what processes that were killed had begun to write:
// files called NAME.PID.tmp, as AtomicFile calls them. Whoever calls it is the only one that writes
// there (FolderLock).
void RemoveLeftovers(const std::string& folder);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_FOLDER_H_
