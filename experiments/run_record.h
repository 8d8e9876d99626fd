#ifndef EXPERIMENTS_RUN_RECORD_H_
#define EXPERIMENTS_RUN_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ssd {

// The facts about a run that run.json holds: what it was made of, where and when it ran, how it
// ended. Bits are promised for equal binary, processor type, thread count and device, all of which
// stand here.
struct RunRecord {
  struct Data {
    int64_t images = 0;
    std::string digest;
    int64_t skipped_images = 0;  // that could not be read (data.loader.on_bad_image)
  };

  std::string name;
  // "running", "done", "interrupted", "time limit" or "failed".
  std::string status = "running";
  std::string error;  // of a failed run
  uint64_t seed = 0;
  std::vector<std::string> command_line;
  std::string working_directory;
  std::string started, ended;  // ISO 8601, UTC
  double seconds = 0;          // in this and all resumed processes
  int64_t resumed = 0;         // how many times
  std::string commit;          // of the checkout `bazel run` was called in; empty when unknown
  std::string torch_version, protobuf_version, opencv_version, compiler;
  std::string processor, device;
  int64_t cores = 0, threads = 0;
  std::string precision, memory_format;
  Data train, validation;
  int64_t parameters = 0, anchors = 0;
  int64_t steps = 0, total_steps = 0;
  std::string metric;  // what best.pt is chosen by
  std::optional<double> best;
};

// Fills versions, commit, processor and cores from this process and machine.
void DescribeEnvironment(RunRecord& record);

// The current time as run.json has it.
std::string UtcNow();

// `record` as an indented JSON document.
std::string ToJson(const RunRecord& record);

// \error InvalidArgument naming `source` if the text is no run.json.
absl::StatusOr<RunRecord> RunRecordFromJson(const std::string& json, const std::string& source);

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_RECORD_H_
