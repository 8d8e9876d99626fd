#ifndef SSD_CORE_TEXT_PROTO_H_
#define SSD_CORE_TEXT_PROTO_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Where each field of a message was set: "model.anchor_generator.ssd.level[0].step" ->
// "ssd300.textproto:14:5". Messages have an entry of their own; extensions are written as in text,
// "model.backbone.[mylab.Swin.ext].depth".
using FieldLocations = std::map<std::string, std::string>;

// Parses protobuf text into `message`, replacing its content. `source` (a file's name, say) stands
// in every error and location. If `locations` is given, says there where each field was set.
//
// Stricter than protobuf: an empty list `[]`, which would be read as nothing at all, is an error,
// and so is a `# proto-message:` in the comments on top that names another type.
//
// \error InvalidArgument as "unknown field 'min_scle' at ssd300.textproto:14:5; did you mean
// 'min_scale'?": what, file:line:column, and the nearest valid name for fields, enum values and
// extensions.
absl::Status ParseTextProto(absl::string_view text, absl::string_view source,
                            google::protobuf::Message& message,
                            FieldLocations* locations = nullptr);

// Parses the value of one field of `message`, as it stands after "name:", and sets the field to it,
// replacing what is there: "0.15", "[2, 3]", "{ resnet {} }", "[]" to empty a list. Strings need no
// quotes; one value serves as a list of one.
// \error InvalidArgument as ParseTextProto, without a place.
absl::Status ParseFieldValue(absl::string_view value,
                             const google::protobuf::FieldDescriptor& field,
                             google::protobuf::Message& message);

// `message` as protobuf text that ParseTextProto reads back to an equal message; bare UTF-8, short
// floats, extensions by name.
std::string PrintTextProto(const google::protobuf::Message& message);

// A field's name as text has it: "depth", or "[mylab.Swin.ext]" for an extension.
std::string FieldName(const google::protobuf::FieldDescriptor& field);

// Everything that may stand in `type` as a field: its fields, then the linked extensions, by
// FieldName.
std::vector<std::string> FieldNames(const google::protobuf::Descriptor& type);

// The candidate nearest to `word` by edit distance, or "" when none is near enough to be meant.
std::string NearestName(absl::string_view word, const std::vector<std::string>& candidates);

// What to say about an unknown `word`: "did you mean 'x'?", else "<list_title> x, y, z".
std::string SuggestName(absl::string_view word, const std::vector<std::string>& candidates,
                        absl::string_view list_title);

}  // namespace ssd

#endif  // SSD_CORE_TEXT_PROTO_H_
