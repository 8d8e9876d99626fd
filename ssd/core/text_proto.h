#ifndef SSD_CORE_TEXT_PROTO_H_
#define SSD_CORE_TEXT_PROTO_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Parses protobuf text into `message`, replacing its content. `source` (a file's name, say) starts
// every error.
// \error InvalidArgument as "unknown field 'min_scle' at ssd300.textproto:14:5; did you mean
// 'min_scale'?": what, file:line:column, and the nearest valid name for fields, enum values and
// extensions.
absl::Status ParseTextProto(absl::string_view text, absl::string_view source,
                            google::protobuf::Message& message);

// The whole file. \error NotFound, PermissionDenied, or as ParseTextProto.
absl::Status ReadTextProto(const std::string& path, google::protobuf::Message& message);

// `message` as protobuf text that ParseTextProto reads back to an equal message; bare UTF-8, short
// floats, extensions by name.
std::string PrintTextProto(const google::protobuf::Message& message);

// The candidate nearest to `word` by edit distance, or "" when none is near enough to be meant.
std::string NearestName(absl::string_view word, const std::vector<std::string>& candidates);

}  // namespace ssd

#endif  // SSD_CORE_TEXT_PROTO_H_
