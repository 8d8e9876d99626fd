#include "experiments/resolve_experiment.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <vector>

#include "ssd/anchors/paper_levels.h"
#include "ssd/model/model_defaults.h"
#include "ssd/necks/default_channels.h"

namespace ssd {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void SetToDefault(Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.SetInt32(&message, &field, field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.SetInt64(&message, &field, field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.SetUInt32(&message, &field, field.default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(&message, &field, field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.SetDouble(&message, &field, field.default_value_double());
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.SetFloat(&message, &field, field.default_value_float());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &field, field.default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.SetEnum(&message, &field, field.default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(&message, &field, field.default_value_string());
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
}

// Sets every field that the schema gives a default, here and in every message that is set. A field
// without one means something by its absence (first_scale, per_batch).
void WriteDefaults(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.is_repeated() || field.containing_oneof() != nullptr) continue;
    if (field.has_default_value() && !reflection.HasField(message, &field)) {
      SetToDefault(message, field);
    }
  }
  std::vector<const FieldDescriptor*> set;  // with extensions
  reflection.ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      WriteDefaults(*reflection.MutableMessage(&message, field));
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      WriteDefaults(*reflection.MutableRepeatedMessage(&message, field, i));
    }
  }
}

// Whether a family's message names a component.
bool HasKind(const Message& family) {
  std::vector<const FieldDescriptor*> set;
  family.GetReflection()->ListFields(family, &set);
  for (const FieldDescriptor* field : set) {
    if (field->is_extension()) return true;
    const auto* const oneof = field->containing_oneof();
    if (oneof != nullptr && oneof->name() == "kind") return true;
  }
  return false;
}

// For more levels than the paper's, the component says what it needs.
void FillLevels(SsdAnchorsOptions& options, int num_levels) {
  const std::vector<SsdAnchorsOptions::Level> levels = PaperLevels();
  if (options.level_size() > 0 || num_levels > static_cast<int>(levels.size())) return;
  for (const SsdAnchorsOptions::Level& level : levels) *options.add_level() = level;
}

}  // namespace

void Resolve(Experiment& experiment) {
  ModelConfig& model = *experiment.mutable_model();
  ResolveModelDefaults(model);
  if (model.anchor_generator().has_ssd()) {
    FillLevels(*model.mutable_anchor_generator()->mutable_ssd(), model.num_levels());
  }
  if (model.neck().has_ssd_extras()) FillChannels(*model.mutable_neck()->mutable_ssd_extras());
  if (model.neck().has_ssdlite_extras()) {
    FillChannels(*model.mutable_neck()->mutable_ssdlite_extras());
  }

  DataConfig& data = *experiment.mutable_data();
  data.mutable_loader()->mutable_cache();
  DatasetConfig& validation = *data.mutable_validation();
  if (validation.has_voc() && !validation.voc().has_root() && data.train().voc().has_root()) {
    validation.mutable_voc()->set_root(data.train().voc().root());
  }
  if (validation.has_mnist() && !validation.mnist().has_folder() &&
      data.train().mnist().has_folder()) {
    validation.mutable_mnist()->set_folder(data.train().mnist().folder());
  }

  if (!HasKind(experiment.optimizer())) experiment.mutable_optimizer()->mutable_sgd();
  if (!HasKind(experiment.schedule())) experiment.mutable_schedule()->mutable_constant();
  if (!HasKind(experiment.evaluator())) experiment.mutable_evaluator()->mutable_coco();
  experiment.mutable_trainer();
  WriteDefaults(experiment);
}

}  // namespace ssd
