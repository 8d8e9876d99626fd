#ifndef SSD_TENSOR_FILES_ELEMENT_TYPE_H_
#define SSD_TENSOR_FILES_ELEMENT_TYPE_H_

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace ssd {

// A type of tensors' elements and what formats call it.
struct ElementType {
  c10::ScalarType scalar_type;
  int64_t size;               // bytes
  const char* storage_class;  // PyTorch's, in its module torch
  const char* torch_name;     // PyTorch's dtype, in its module torch
  const char* safetensors;
};

// All types that are read and written. Others (complex, quantised, 8-bit floating point) are
// refused by name.
inline constexpr ElementType kElementTypes[] = {
    {c10::ScalarType::Byte, 1, "ByteStorage", "uint8", "U8"},
    {c10::ScalarType::Char, 1, "CharStorage", "int8", "I8"},
    {c10::ScalarType::Short, 2, "ShortStorage", "int16", "I16"},
    {c10::ScalarType::Int, 4, "IntStorage", "int32", "I32"},
    {c10::ScalarType::Long, 8, "LongStorage", "int64", "I64"},
    {c10::ScalarType::Half, 2, "HalfStorage", "float16", "F16"},
    {c10::ScalarType::BFloat16, 2, "BFloat16Storage", "bfloat16", "BF16"},
    {c10::ScalarType::Float, 4, "FloatStorage", "float32", "F32"},
    {c10::ScalarType::Double, 8, "DoubleStorage", "float64", "F64"},
    {c10::ScalarType::Bool, 1, "BoolStorage", "bool", "BOOL"},
};

// Null for a type that is not in the table.
inline const ElementType* FindElementType(c10::ScalarType scalar_type) {
  for (const ElementType& type : kElementTypes) {
    if (type.scalar_type == scalar_type) return &type;
  }
  return nullptr;
}

}  // namespace ssd

#endif  // SSD_TENSOR_FILES_ELEMENT_TYPE_H_
