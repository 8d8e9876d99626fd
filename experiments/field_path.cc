#include "experiments/field_path.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "ssd/core/status_macros.h"
#include "ssd/core/text_proto.h"

namespace ssd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

struct Step {
  const FieldDescriptor* field = nullptr;
  int index = -1;      // -1: none
  std::string so_far;  // the path up to and with this step
};

absl::Status Wrong(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("'", path, "': ", what));
}

// The next "name", "name[2]" or "[extension]" of a path: up to a '.' outside brackets.
absl::string_view TakeSegment(absl::string_view& path) {
  int depth = 0;
  size_t i = 0;
  for (; i < path.size() && (path[i] != '.' || depth > 0); ++i) {
    depth += path[i] == '[' ? 1 : path[i] == ']' ? -1 : 0;
  }
  const absl::string_view segment = path.substr(0, i);
  path.remove_prefix(std::min(i + 1, path.size()));
  return segment;
}

absl::StatusOr<std::vector<Step>> ParsePath(const Descriptor& root, absl::string_view path) {
  std::vector<Step> steps;
  const Descriptor* type = &root;
  absl::string_view rest = path;
  if (path.empty() || path.back() == '.') return Wrong(path, "a field's name is missing");
  while (!rest.empty()) {
    if (type == nullptr) {
      return Wrong(path,
                   absl::StrCat("'", steps.back().so_far, "' is no message; nothing is in it"));
    }
    const absl::string_view segment = TakeSegment(rest);
    const bool is_extension = absl::StartsWith(segment, "[");
    const size_t bracket = segment.find('[', is_extension ? 1 : 0);
    const std::string name(segment.substr(0, bracket));
    Step step;
    if (is_extension && absl::EndsWith(name, "]")) {
      step.field =
          type->file()->pool()->FindExtensionByPrintableName(type, name.substr(1, name.size() - 2));
    } else {
      step.field = type->FindFieldByName(name);
    }
    if (step.field == nullptr) {
      return Wrong(path,
                   absl::StrCat("unknown field '", name, "'; ",
                                SuggestName(name, FieldNames(*type),
                                            absl::StrCat(type->full_name(), " has the fields"))));
    }
    step.so_far = absl::StrCat(steps.empty() ? "" : absl::StrCat(steps.back().so_far, "."), name);
    if (bracket != absl::string_view::npos) {
      absl::string_view index = segment.substr(bracket + 1);
      if (!step.field->is_repeated()) {
        return Wrong(path, absl::StrCat("'", step.so_far, "' is no list; leave the index out"));
      }
      if (!absl::EndsWith(index, "]") ||
          !absl::SimpleAtoi(index.substr(0, index.size() - 1), &step.index) || step.index < 0) {
        return Wrong(path, absl::StrCat("'[", index, "' is no index; entries count from [0]"));
      }
      absl::StrAppend(&step.so_far, "[", step.index, "]");
    } else if (step.field->is_repeated() && !rest.empty()) {
      return Wrong(path, absl::StrCat("'", step.so_far, "' is a list; say which entry: '",
                                      step.so_far, "[0].", rest, "'"));
    }
    type = step.field->message_type();
    steps.push_back(std::move(step));
  }
  return steps;
}

// Whether components of a family are chosen in this message.
bool IsFamily(const Descriptor& type) {
  return type.FindOneofByName("kind") != nullptr && type.extension_range_count() > 0;
}

absl::Status CheckIndex(const Message& message, const Step& step, absl::string_view path) {
  const int size = message.GetReflection()->FieldSize(message, step.field);
  if (step.index < size) return absl::OkStatus();
  return Wrong(path, absl::StrCat("'", step.so_far, "' does not exist: the list has ", size,
                                  size == 1 ? " entry" : " entries", "; set the list whole"));
}

// Exchanges one entry of a list.
absl::Status SetEntry(Message& message, const Step& step, absl::string_view value) {
  const Reflection& reflection = *message.GetReflection();
  const std::unique_ptr<Message> parsed(message.New());
  SSD_RETURN_IF_ERROR(ParseFieldValue(value, *step.field, *parsed));
  if (reflection.FieldSize(*parsed, step.field) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", value, "' is a list; one entry takes one value"));
  }
  // Merging appends the new entry, whatever its type.
  message.MergeFrom(*parsed);
  reflection.SwapElements(&message, step.field, step.index,
                          reflection.FieldSize(message, step.field) - 1);
  reflection.RemoveLast(&message, step.field);
  return absl::OkStatus();
}

// A field's value in one line: "0.2", "[2, 3]", "{ depth: 18 }".
std::string ShownValue(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated() && !reflection.HasField(message, &field)) return "not set";
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetUseUtf8StringEscaping(true);
  printer.SetUseShortRepeatedPrimitives(true);
  std::vector<std::string> values;
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    std::string value;
    printer.PrintFieldValueToString(message, &field, field.is_repeated() ? i : -1, &value);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      value = absl::StrCat("{ ", value, "}");  // a space follows each field
    }
    values.push_back(std::move(value));
  }
  return field.is_repeated() ? absl::StrCat("[", absl::StrJoin(values, ", "), "]") : values[0];
}

// Appends "PATH was VALUE and is VALUE" for every field that differs.
void CollectDifferences(const Message& before, const Message& after, const std::string& prefix,
                        std::vector<std::string>& differences) {
  const Reflection& reflection = *before.GetReflection();
  std::vector<const FieldDescriptor*> fields, set_after;
  reflection.ListFields(before, &fields);
  reflection.ListFields(after, &set_after);
  fields.insert(fields.end(), set_after.begin(), set_after.end());
  std::sort(fields.begin(), fields.end(),
            [](const auto* a, const auto* b) { return a->number() < b->number(); });
  fields.erase(std::unique(fields.begin(), fields.end()), fields.end());
  for (const FieldDescriptor* field : fields) {
    const std::string path = absl::StrCat(prefix, FieldName(*field));
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && field->is_repeated() &&
        reflection.FieldSize(before, field) == reflection.FieldSize(after, field)) {
      for (int i = 0; i < reflection.FieldSize(before, field); ++i) {
        CollectDifferences(reflection.GetRepeatedMessage(before, field, i),
                           reflection.GetRepeatedMessage(after, field, i),
                           absl::StrCat(path, "[", i, "]."), differences);
      }
      continue;
    }
    if (is_message && !field->is_repeated() && reflection.HasField(before, field) &&
        reflection.HasField(after, field)) {
      CollectDifferences(reflection.GetMessage(before, field), reflection.GetMessage(after, field),
                         absl::StrCat(path, "."), differences);
      continue;
    }
    const std::string was = ShownValue(before, *field), is = ShownValue(after, *field);
    if (was != is) differences.push_back(absl::StrCat(path, " was ", was, " and is ", is));
  }
}

}  // namespace

const FieldDescriptor* RivalOf(const Message& message, const FieldDescriptor& field) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  const google::protobuf::OneofDescriptor* const oneof = field.containing_oneof();
  if (oneof != nullptr && reflection.HasOneof(message, oneof)) {
    const FieldDescriptor* const set = reflection.GetOneofFieldDescriptor(message, oneof);
    if (set != &field) return set;
  }
  if (!IsFamily(type)) return nullptr;
  const google::protobuf::OneofDescriptor* const kind = type.FindOneofByName("kind");
  if (oneof != kind && !field.is_extension()) return nullptr;
  std::vector<const FieldDescriptor*> set;
  reflection.ListFields(message, &set);
  for (const FieldDescriptor* other : set) {
    if (other != &field && (other->containing_oneof() == kind || other->is_extension())) {
      return other;
    }
  }
  return nullptr;
}

absl::Status SetFieldAt(Message& root, absl::string_view path, absl::string_view value) {
  SSD_ASSIGN_OR_RETURN(const std::vector<Step> steps, ParsePath(*root.GetDescriptor(), path));
  Message* message = &root;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    const Step& step = steps[i];
    const Reflection& reflection = *message->GetReflection();
    if (const FieldDescriptor* const rival = RivalOf(*message, *step.field); rival != nullptr) {
      const std::string family = i == 0 ? "" : steps[i - 1].so_far;
      return Wrong(path, absl::StrCat("would switch '", family, "' from ", FieldName(*rival),
                                      " to ", FieldName(*step.field), "; to do so, set it whole: '",
                                      family, "={ ", FieldName(*step.field), " { ... } }'"));
    }
    if (step.index >= 0) {
      SSD_RETURN_IF_ERROR(CheckIndex(*message, step, path));
      message = reflection.MutableRepeatedMessage(message, step.field, step.index);
    } else {
      message = reflection.MutableMessage(message, step.field);
    }
  }
  const Step& last = steps.back();
  absl::Status status;
  if (last.index >= 0) {
    SSD_RETURN_IF_ERROR(CheckIndex(*message, last, path));
    status = SetEntry(*message, last, value);
  } else {
    status = ParseFieldValue(value, *last.field, *message);
    const FieldDescriptor* rival = nullptr;
    while (status.ok() && (rival = RivalOf(*message, *last.field)) != nullptr) {
      message->GetReflection()->ClearField(message, rival);
    }
  }
  return status.ok() ? status : Wrong(path, status.message());
}

absl::Status ClearFieldAt(Message& root, absl::string_view path) {
  SSD_ASSIGN_OR_RETURN(const std::vector<Step> steps, ParsePath(*root.GetDescriptor(), path));
  Message* message = &root;
  for (size_t i = 0; i + 1 < steps.size(); ++i) {
    const Step& step = steps[i];
    const Reflection& reflection = *message->GetReflection();
    if (step.index >= 0) {
      SSD_RETURN_IF_ERROR(CheckIndex(*message, step, path));
      message = reflection.MutableRepeatedMessage(message, step.field, step.index);
    } else if (reflection.HasField(*message, step.field)) {
      message = reflection.MutableMessage(message, step.field);
    } else {
      return absl::OkStatus();
    }
  }
  if (steps.back().index >= 0) {
    return Wrong(path, "ends in an index; only a whole field can be emptied");
  }
  message->GetReflection()->ClearField(message, steps.back().field);
  return absl::OkStatus();
}

bool IsFieldPath(const Descriptor& root, absl::string_view path) {
  return ParsePath(root, path).ok();
}

std::string ShownDifference(const Message& before, const Message& after) {
  std::vector<std::string> differences;
  CollectDifferences(before, after, "", differences);
  if (differences.empty()) return "";
  const size_t more = differences.size() - 1;
  if (more == 0) return differences[0];
  return absl::StrCat(differences[0], " (", more,
                      more == 1 ? " more field differs)" : " more fields differ)");
}

}  // namespace ssd
