#ifndef EXPERIMENTS_RUN_FOLDER_H_
#define EXPERIMENTS_RUN_FOLDER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ssd {

// Where a run keeps its files. Only names and creates; docs/commands.md says what the files hold.
class RunFolder {
 public:
  // Makes a new folder: `path`, or, where that is empty, the first free one of
  // <working_directory>/runs/<name>, <name>-2, ...
  // \error AlreadyExists if `path` exists (and says how to resume), or as FileError.
  static absl::StatusOr<RunFolder> Create(const std::string& path, const std::string& name,
                                          const std::string& working_directory);

  // An existing run. \error NotFound if `path` is no folder or holds no config.textproto.
  static absl::StatusOr<RunFolder> Open(const std::string& path);

  const std::string& path() const { return path_; }
  std::string config() const { return path_ + "/config.textproto"; }
  std::string record() const { return path_ + "/run.json"; }
  std::string metrics() const { return path_ + "/metrics.jsonl"; }
  std::string last_checkpoint() const { return path_ + "/checkpoints/last.pt"; }
  std::string best_model() const { return path_ + "/checkpoints/best.pt"; }
  std::string final_metrics() const { return path_ + "/metrics.json"; }
  std::string detections() const { return path_ + "/detections.json"; }
  std::string report() const { return path_ + "/report.html"; }

 private:
  explicit RunFolder(std::string path);

  std::string path_;
};

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_FOLDER_H_
