#include "ssd/core/option_check.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"

namespace ssd {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Whether a field that is set has the value that it would have if it were not.
bool IsDefault(const Message& options, const FieldDescriptor& field) {
  const Reflection& reflection = *options.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection.GetInt32(options, &field) == field.default_value_int32();
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.GetInt64(options, &field) == field.default_value_int64();
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection.GetUInt32(options, &field) == field.default_value_uint32();
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.GetUInt64(options, &field) == field.default_value_uint64();
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.GetDouble(options, &field) == field.default_value_double();
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection.GetFloat(options, &field) == field.default_value_float();
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(options, &field) == field.default_value_bool();
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.GetEnumValue(options, &field) == field.default_value_enum()->number();
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.GetString(options, &field) == field.default_value_string();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return false;
  }
  return false;
}

}  // namespace

absl::Status CheckOption(bool in_range, absl::string_view field, double value,
                         absl::string_view rule) {
  if (in_range && std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " must be ", rule, in_range ? " and finite" : ""));
}

absl::Status CheckRange(absl::string_view field, double value, double low, double high) {
  return CheckOption(low <= value && value <= high, field, value,
                     absl::StrCat("in [", low, ", ", high, "]"));
}

absl::Status CheckUnused(const Message& options, const std::string& name, absl::string_view path,
                         absl::string_view needed) {
  const FieldDescriptor* const field = options.GetDescriptor()->FindFieldByName(name);
  CHECK(field != nullptr && !field->is_repeated()) << name;
  if (!options.GetReflection()->HasField(options, field)) return absl::OkStatus();
  // A field without a default means something by being set at all.
  if (field->has_default_value() && IsDefault(options, *field)) return absl::OkStatus();
  std::string value;
  google::protobuf::TextFormat::PrintFieldValueToString(options, field, -1, &value);
  return absl::InvalidArgumentError(absl::StrCat(path, name, ": ", value, " has no effect without ",
                                                 path, needed, "; set that, or leave this out"));
}

}  // namespace ssd
