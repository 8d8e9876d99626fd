#ifndef EXPERIMENTS_MERGE_EXPERIMENT_H_
#define EXPERIMENTS_MERGE_EXPERIMENT_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "experiments/experiment.pb.h"
#include "ssd/core/text_proto.h"

namespace ssd {

// An assignment "model.num_levels=4" and the folder that paths in its value are relative to.
struct Override {
  std::string assignment;
  std::string folder;
  // What messages call it where the user wrote something else: "--data". Empty: by its text.
  std::string flag = {};
};

// The experiment in the file at `path` merged over its bases, with overrides applied; nothing is
// resolved or validated. A relative path starts from `working_directory`. `locations` says where
// each field was set; the experiment as a whole, "", is the file. \error InvalidArgument or
// NotFound naming file, line, field, value and remedy, and for a base that is missing or leads back
// to itself the chain of files.
absl::StatusOr<Experiment> MergeExperiment(const std::string& path,
                                           absl::Span<const Override> overrides,
                                           const std::string& working_directory,
                                           FieldLocations& locations);

// Makes every relative path (the schema's `is_path`) in `message` absolute against `folder`.
void MakePathsAbsolute(google::protobuf::Message& message, const std::string& folder);

// `path` as a user standing in `working_directory` would write it: relative below it, else
// absolute.
std::string ShownPath(const std::string& path, const std::string& working_directory);

}  // namespace ssd

#endif  // EXPERIMENTS_MERGE_EXPERIMENT_H_
