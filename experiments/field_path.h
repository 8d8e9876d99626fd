#ifndef EXPERIMENTS_FIELD_PATH_H_
#define EXPERIMENTS_FIELD_PATH_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ssd {

// Fields of a message by path: "model.anchor_generator.ssd.level[2].aspect_ratio",
// "model.backbone.[mylab.Swin.ext].depth". Every error quotes the path and names what would be
// right.

// Sets the field at `path` to `value` (as ParseFieldValue reads it), replacing what stands there:
// a list or a message is exchanged whole, never merged. Messages on the way are made.
// \error InvalidArgument if the path does not exist, an index is out of range, the value has the
// wrong type, or the path goes through a member of a oneof while another member is set: that would
// throw settings away unasked. Setting the member itself, whole, is allowed.
absl::Status SetFieldAt(google::protobuf::Message& root, absl::string_view path,
                        absl::string_view value);

// Empties the field at `path`; nothing happens if it is not set.
// \error InvalidArgument if the path does not exist or ends in an index.
absl::Status ClearFieldAt(google::protobuf::Message& root, absl::string_view path);

// Whether `path` names a field of messages of this type (indices are not looked at).
bool IsFieldPath(const google::protobuf::Descriptor& root, absl::string_view path);

// What differs between two messages of one type, in a line: the first field, in the order of the
// schema, with both values and the number of further ones, "trainer.epochs was 3 and is 4 (2 more
// fields differ)". Empty if nothing does.
std::string ShownDifference(const google::protobuf::Message& before,
                            const google::protobuf::Message& after);

// The field that is set in `message` and excludes `field`: another member of its oneof or, in a
// family's message (`oneof kind` and extensions, exactly one of which may be set), another kind or
// extension. Null if there is none.
const google::protobuf::FieldDescriptor* RivalOf(const google::protobuf::Message& message,
                                                 const google::protobuf::FieldDescriptor& field);

}  // namespace ssd

#endif  // EXPERIMENTS_FIELD_PATH_H_
