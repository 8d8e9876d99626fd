#include "ssd/weights/torch_tensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "ssd/core/status_macros.h"

namespace ssd {
namespace {

using Place = PicklePlace;
using Value = PickleValue;

// Limits on what a file may ask for, far above what any model needs.
constexpr int kMaxDepth = 100;
constexpr size_t kMaxDimensions = 16;

// a * b, or nullopt when it is beyond int64. Neither is negative.
std::optional<int64_t> Product(int64_t a, int64_t b) {
  if (b != 0 && a > std::numeric_limits<int64_t>::max() / b) return std::nullopt;
  return a * b;
}

bool IsTensorFunction(const Value& function) {
  if (function.kind != Value::kGlobal) return false;
  return (function.text == "torch._utils" && absl::StartsWith(function.name, "_rebuild_")) ||
         IsGlobal(function, "torch._tensor", "_rebuild_from_type_v2");
}

// torch.FloatTensor for torch.FloatStorage, and so on.
bool IsTensorClass(const Value& type) {
  if (type.kind != Value::kGlobal || (type.text != "torch" && type.text != "torch.cuda")) {
    return false;
  }
  absl::string_view name = type.name;
  if (!absl::ConsumeSuffix(&name, "Tensor")) return false;
  return std::any_of(std::begin(kElementTypes), std::end(kElementTypes),
                     [name](const ElementType& candidate) {
                       absl::string_view storage = candidate.storage_class;
                       return absl::ConsumeSuffix(&storage, "Storage") && storage == name;
                     });
}

// The dtype of a tensor whose storage is measured in bytes.
absl::Status SetType(const Place& place, const Value& dtype, TorchStorageId& id) {
  const ElementType* type = nullptr;
  for (const ElementType& candidate : kElementTypes) {
    if (IsGlobal(dtype, "torch", candidate.torch_name)) type = &candidate;
  }
  if (type == nullptr) {
    return place.Refuse(absl::StrCat("a tensor of type ", GlobalName(dtype), " is not read"));
  }
  const int64_t bytes = id.type->size;
  for (int64_t* const count : {&id.elements, &id.first, &id.used}) {
    const std::optional<int64_t> size = Product(*count, bytes);
    if (!size || *size % type->size != 0) return place.Corrupt("a storage of half elements");
    *count = *size / type->size;
  }
  id.type = type;
  return absl::OkStatus();
}

absl::Status ReadNumbers(const Place& place, const Value& sequence, std::vector<int64_t>& numbers) {
  if (sequence.kind != Value::kTuple && sequence.kind != Value::kList) {
    return place.Corrupt("a tensor without a shape");
  }
  if (sequence.items.size() > kMaxDimensions) {
    return place.Refuse(absl::StrCat("a tensor of ", sequence.items.size(), " dimensions"));
  }
  for (const Value* const number : sequence.items) {
    if (number->kind != Value::kInteger || number->integer < 0) {
      return place.Corrupt("a tensor whose shape is no numbers");
    }
    numbers.push_back(number->integer);
  }
  return absl::OkStatus();
}

}  // namespace

bool IsTorchTensor(const PickleValue& value) {
  return value.kind == Value::kObject &&
         (IsTensorFunction(*value.callable) || IsTensorClass(*value.callable));
}

bool IsTorchStorage(const PickleValue& value) {
  if (value.kind != Value::kPersistent) return false;
  const std::vector<Value*>& id = value.arguments->items;
  return !id.empty() && id[0]->kind == Value::kString && id[0]->text == "storage";
}

const PickleValue* WrappedTensor(const PickleValue& value) {
  if (value.kind != Value::kObject || value.arguments->items.empty()) return nullptr;
  const bool wraps = IsGlobal(*value.callable, "torch.nn.parameter", "Parameter") ||
                     IsGlobal(*value.callable, "torch.autograd.variable", "Variable");
  return wraps ? value.arguments->items[0] : nullptr;
}

std::optional<int64_t> TorchStorageId::bytes() const { return Product(elements, type->size); }

absl::StatusOr<TorchStorageId> ParseTorchStorageId(const PickleValue& persistent,
                                                   const std::string& path) {
  const Place place(path, persistent);
  const Value& id = *persistent.arguments;
  const auto is = [&id](size_t i, Value::Kind kind) { return id.items[i]->kind == kind; };
  if (id.kind != Value::kTuple || id.items.size() < 5 || !is(0, Value::kString) ||
      id.items[0]->text != "storage" || !is(1, Value::kGlobal) || !is(2, Value::kString) ||
      !is(4, Value::kInteger) || id.items[4]->integer < 0) {
    return place.Corrupt("a tensor without a storage");
  }
  TorchStorageId storage;
  const Value& type = *id.items[1];
  for (const ElementType& candidate : kElementTypes) {
    if (type.name == candidate.storage_class) storage.type = &candidate;
  }
  // Newer files measure types that have no storage class of their own in bytes.
  if (type.name == "UntypedStorage") storage.type = FindElementType(at::kByte);
  if (!absl::StartsWith(type.text, "torch") || storage.type == nullptr) {
    return place.Refuse(absl::StrCat("a storage of class ", GlobalName(type),
                                     " is not read; convert it to float, half or an integer type"));
  }
  storage.key = std::string(id.items[2]->text);
  storage.elements = storage.used = id.items[4]->integer;
  if (id.items.size() > 5 && !is(5, Value::kNone)) {
    const Value& part = *id.items[5];
    if (part.kind != Value::kTuple || part.items.size() != 3 ||
        part.items[1]->kind != Value::kInteger || part.items[2]->kind != Value::kInteger) {
      return place.Corrupt("a part of a storage without its place");
    }
    storage.first = part.items[1]->integer;
    storage.used = part.items[2]->integer;
    if (storage.first < 0 || storage.used < 0 || storage.first > storage.elements ||
        storage.used > storage.elements - storage.first) {
      return place.Corrupt("a part of a storage that leaves it");
    }
  }
  return storage;
}

absl::StatusOr<Tensor> TorchTensorBuilder::Build(const PickleValue& value, int depth) {
  const Place place(path_, value);
  if (IsTensorFunction(*value.callable)) {
    return Call(place, *value.callable, *value.arguments, depth);
  }
  // An instance of a class: its parts are its state.
  if (value.state == nullptr || value.state->kind != Value::kTuple ||
      value.state->items.size() < 4) {
    return place.Corrupt(
        absl::StrCat("an object of ", GlobalName(*value.callable), " without a storage"));
  }
  return Assemble(place, value.state->items, nullptr);
}

// What `function` of torch would return for the arguments.
absl::StatusOr<Tensor> TorchTensorBuilder::Call(const PicklePlace& place,
                                                const PickleValue& function,
                                                const PickleValue& arguments, int depth) {
  const std::vector<Value*>& items = arguments.items;
  if (arguments.kind != Value::kTuple || items.empty() || depth > kMaxDepth) {
    return place.Corrupt("a tensor without arguments");
  }
  if (function.name == "_rebuild_parameter" || function.name == "_rebuild_parameter_with_state") {
    if (!IsTorchTensor(*items[0])) return place.Corrupt("a parameter without a tensor");
    return Build(*items[0], depth + 1);
  }
  if (function.name == "_rebuild_from_type_v2") {
    if (items.size() < 3 || !IsTensorFunction(*items[0])) {
      return place.Corrupt("a tensor's subclass without a tensor");
    }
    return Call(place, *items[0], *items[2], depth + 1);
  }
  const bool has_type = function.name == "_rebuild_tensor_v3";
  if (!has_type && function.name != "_rebuild_tensor" && function.name != "_rebuild_tensor_v2") {
    return place.Refuse(absl::StrCat("a tensor of ", GlobalName(function),
                                     " is not read: only dense tensors with a storage are"));
  }
  if (items.size() < (has_type ? 7u : 4u)) return place.Corrupt("a tensor without a storage");
  return Assemble(place, items, has_type ? items[6] : nullptr);
}

// Of storage, offset, shape and strides; `dtype` is the elements' type, null for the storage's.
absl::StatusOr<Tensor> TorchTensorBuilder::Assemble(const PicklePlace& place,
                                                    const std::vector<PickleValue*>& parts,
                                                    const PickleValue* dtype) {
  if (parts[0]->kind != Value::kPersistent || parts[1]->kind != Value::kInteger) {
    return place.Corrupt("a tensor without a storage");
  }
  SSD_ASSIGN_OR_RETURN(TorchStorageId id, ParseTorchStorageId(*parts[0], path_));
  if (dtype != nullptr) SSD_RETURN_IF_ERROR(SetType(place, *dtype, id));
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  SSD_RETURN_IF_ERROR(ReadNumbers(place, *parts[2], shape));
  SSD_RETURN_IF_ERROR(ReadNumbers(place, *parts[3], strides));
  return View(place, id, parts[1]->integer, shape, strides);
}

absl::StatusOr<Tensor> TorchTensorBuilder::View(const PicklePlace& place, const TorchStorageId& id,
                                                int64_t offset, const std::vector<int64_t>& shape,
                                                const std::vector<int64_t>& strides) {
  if (shape.size() != strides.size()) return place.Corrupt("a tensor without strides");
  int64_t elements = 1;
  bool empty = false;
  int64_t last = offset;
  bool is_within_range = true;  // of int64_t
  for (size_t i = 0; i < shape.size(); ++i) {
    empty |= shape[i] == 0;
    const std::optional<int64_t> next = Product(elements, std::max<int64_t>(shape[i], 1));
    if (!next) return place.Corrupt("a tensor larger than any memory");
    elements = *next;
    const std::optional<int64_t> reach =
        shape[i] == 0 ? std::optional<int64_t>(0) : Product(shape[i] - 1, strides[i]);
    is_within_range &= reach && last <= std::numeric_limits<int64_t>::max() - *reach;
    if (is_within_range) last += *reach;
  }
  if (empty) return at::empty(shape, id.type->scalar_type);
  if (offset < 0 || !is_within_range || last >= id.used || elements > id.used) {
    return place.Corrupt(absl::StrCat("a tensor that reaches beyond its storage '", id.key, "' of ",
                                      id.used, " elements, or repeats them"));
  }
  SSD_ASSIGN_OR_RETURN(const Tensor storage, Storage(place, id));
  return storage.as_strided(shape, strides, id.first + offset);
}

// All of a storage as a tensor of one dimension, copied from the file once.
absl::StatusOr<Tensor> TorchTensorBuilder::Storage(const PicklePlace& place,
                                                   const TorchStorageId& id) {
  const auto [entry, is_new] = storages_.try_emplace(id.key);
  Tensor& storage = entry->second;
  if (!is_new) {
    if (!storage.defined() || storage.scalar_type() != id.type->scalar_type) {
      return place.Refuse(
          absl::StrCat("storage '", id.key, "' is used as two types; clone the tensors first"));
    }
    // Its size was compared with the file's when it was made.
    if (storage.numel() == id.elements) return storage;
    return place.Corrupt(absl::StrCat("storage '", id.key, "' has two sizes"));
  }
  SSD_ASSIGN_OR_RETURN(const absl::string_view bytes, source_.Find(id.key));
  const std::optional<int64_t> size = id.bytes();
  if (!size || static_cast<uint64_t>(*size) != bytes.size()) {
    return place.Corrupt(absl::StrCat("storage '", id.key, "' of ", id.elements, " elements of ",
                                      id.type->size, " bytes has ", bytes.size(),
                                      " bytes in the file"));
  }
  storage = at::empty({id.elements}, id.type->scalar_type);
  if (id.type->scalar_type == at::kBool) {
    // Other values than 0 and 1 would be no bool.
    bool* const values = storage.mutable_data_ptr<bool>();
    std::transform(bytes.begin(), bytes.end(), values, [](char byte) { return byte != 0; });
  } else if (!bytes.empty()) {
    std::memcpy(storage.mutable_data_ptr(), bytes.data(), bytes.size());
  }
  return storage;
}

}  // namespace ssd
