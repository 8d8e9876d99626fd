#include "ssd/core/registry.h"

#include <google/protobuf/descriptor.h>

namespace ssd {

absl::StatusOr<const google::protobuf::Message*> SetKind(const google::protobuf::Message& config) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Descriptor* const descriptor = config.GetDescriptor();
  const google::protobuf::OneofDescriptor* const kind = descriptor->FindOneofByName("kind");
  CHECK(kind != nullptr) << descriptor->full_name() << " has no `oneof kind`";

  std::vector<const FieldDescriptor*> fields;
  config.GetReflection()->ListFields(config, &fields);
  std::vector<const FieldDescriptor*> set;
  std::vector<std::string> set_names;
  for (const FieldDescriptor* field : fields) {
    if (field->containing_oneof() != kind && !field->is_extension()) continue;
    CHECK(field->message_type() != nullptr && !field->is_repeated())
        << field->full_name() << " must be one message: a component's options";
    set.push_back(field);
    set_names.push_back(field->is_extension() ? absl::StrCat("[", field->full_name(), "]")
                                              : field->name());
  }
  if (set.size() == 1) return &config.GetReflection()->GetMessage(config, set.front());

  std::vector<std::string> members;
  for (int i = 0; i < kind->field_count(); ++i) members.push_back(kind->field(i)->name());
  return absl::InvalidArgumentError(
      absl::StrCat(descriptor->full_name(), ": ",
                   set.empty() ? "no kind is set"
                               : absl::StrCat(absl::StrJoin(set_names, " and "), " are both set"),
                   "; set exactly one of ", absl::StrJoin(members, ", "), " or an extension"));
}

}  // namespace ssd
