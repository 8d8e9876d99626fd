#include "ssd/weights/torch_file.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/file.h"
#include "ssd/core/status_macros.h"
#include "ssd/weights/element_type.h"
#include "ssd/weights/little_endian.h"
#include "ssd/weights/mapped_file.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/zip_archive.h"

namespace ssd {
namespace {

using Value = PickleValue;

// Limits on what a file may ask for, far above what any model needs.
constexpr int kMaxDepth = 100;
constexpr size_t kMaxVisits = Pickle::kMaxValues;  // shared values can be met again and again
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kLongestName = 4096;
constexpr size_t kMaxNameBytes = size_t{16} << 20;     // of all tensors
constexpr size_t kMaxMetadataBytes = size_t{1} << 20;  // names and texts
constexpr size_t kMaxDimensions = 16;

// The numbers that old files begin with: torch/serialization.py's MAGIC_NUMBER, lowest byte first,
// and PROTOCOL_VERSION.
constexpr absl::string_view kMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kProtocolVersion = 1001;

// Where a checkpoint may have its weights; the first of them counts.
constexpr const char* kWeightKeys[] = {"state_dict", "model_state_dict", "model",
                                       "net",        "weights",          "module"};
constexpr const char* kWrappers[] = {"module.", "_orig_mod."};

// a * b, or nullopt when it is beyond int64. Neither is negative.
std::optional<int64_t> Product(int64_t a, int64_t b) {
  if (b != 0 && a > std::numeric_limits<int64_t>::max() / b) return std::nullopt;
  return a * b;
}

// A position of the file, for errors.
class Place {
 public:
  Place(const std::string& path, const Value& value) : path_(path), position_(value.position) {}

  absl::Status Corrupt(absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(path_, ": byte ", position_, ": ", what));
  }
  absl::Status Refuse(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": byte ", position_, ": ", what));
  }

 private:
  const std::string& path_;
  size_t position_;
};

// What a persistent id says about a storage: ("storage", class, key, location, elements), and in
// old files None or the part of the storage that is meant: (key, first element, elements).
struct StorageId {
  const ElementType* type = nullptr;
  std::string key;
  int64_t elements = 0;
  int64_t first = 0;
  int64_t used = 0;
};

absl::StatusOr<StorageId> ParseStorageId(const Value& persistent, const std::string& path) {
  const Place place(path, persistent);
  const Value& id = *persistent.arguments;
  const auto is = [&id](size_t i, Value::Kind kind) { return id.items[i]->kind == kind; };
  if (id.kind != Value::kTuple || id.items.size() < 5 || !is(0, Value::kString) ||
      id.items[0]->text != "storage" || !is(1, Value::kGlobal) || !is(2, Value::kString) ||
      !is(4, Value::kInteger) || id.items[4]->integer < 0) {
    return place.Corrupt("a tensor without a storage");
  }
  StorageId storage;
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

// The bytes of a storage in the file.
class StorageSource {
 public:
  virtual ~StorageSource() = default;
  virtual absl::StatusOr<absl::string_view> Find(const std::string& key) const = 0;
};

// Makes tensors of the calls that a pickle records.
class TensorBuilder {
 public:
  TensorBuilder(const std::string& path, const StorageSource& source)
      : path_(path), source_(source) {}

  static bool IsTensor(const Value& value) {
    return value.kind == Value::kObject && value.callable != nullptr &&
           IsTensorFunction(*value.callable);
  }

  absl::StatusOr<Tensor> Build(const Value& value) {
    return Call(Place(path_, value), *value.callable, *value.arguments, 0);
  }

 private:
  static bool IsTensorFunction(const Value& function) {
    if (function.kind != Value::kGlobal) return false;
    return (function.text == "torch._utils" && absl::StartsWith(function.name, "_rebuild_")) ||
           IsGlobal(function, "torch._tensor", "_rebuild_from_type_v2");
  }

  // What `function` of torch would return for the arguments.
  absl::StatusOr<Tensor> Call(const Place& place, const Value& function, const Value& arguments,
                              int depth) {
    const std::vector<Value*>& items = arguments.items;
    if (arguments.kind != Value::kTuple || items.empty() || depth > kMaxDepth) {
      return place.Corrupt("a tensor without arguments");
    }
    if (function.name == "_rebuild_parameter" || function.name == "_rebuild_parameter_with_state") {
      if (!IsTensor(*items[0])) return place.Corrupt("a parameter without a tensor");
      return Call(Place(path_, *items[0]), *items[0]->callable, *items[0]->arguments, depth + 1);
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
    if (items.size() < (has_type ? 7u : 4u) || items[0]->kind != Value::kPersistent ||
        items[1]->kind != Value::kInteger) {
      return place.Corrupt("a tensor without a storage");
    }
    SSD_ASSIGN_OR_RETURN(StorageId id, ParseStorageId(*items[0], path_));
    if (has_type) SSD_RETURN_IF_ERROR(SetType(place, *items[6], id));
    std::vector<int64_t> shape;
    std::vector<int64_t> strides;
    SSD_RETURN_IF_ERROR(ReadNumbers(place, *items[2], shape));
    SSD_RETURN_IF_ERROR(ReadNumbers(place, *items[3], strides));
    return View(place, id, items[1]->integer, shape, strides);
  }

  // The dtype of a tensor whose storage is measured in bytes.
  static absl::Status SetType(const Place& place, const Value& dtype, StorageId& id) {
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

  static absl::Status ReadNumbers(const Place& place, const Value& sequence,
                                  std::vector<int64_t>& numbers) {
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

  absl::StatusOr<Tensor> View(const Place& place, const StorageId& id, int64_t offset,
                              const std::vector<int64_t>& shape,
                              const std::vector<int64_t>& strides) {
    if (shape.size() != strides.size()) return place.Corrupt("a tensor without strides");
    int64_t elements = 1;
    bool empty = false;
    std::optional<int64_t> last = offset;
    for (size_t i = 0; i < shape.size(); ++i) {
      empty |= shape[i] == 0;
      const std::optional<int64_t> next = Product(elements, std::max<int64_t>(shape[i], 1));
      if (!next) return place.Corrupt("a tensor larger than any memory");
      elements = *next;
      const std::optional<int64_t> reach =
          shape[i] == 0 ? std::optional<int64_t>(0) : Product(shape[i] - 1, strides[i]);
      if (last && reach && *last <= std::numeric_limits<int64_t>::max() - *reach) {
        *last += *reach;
      } else {
        last = std::nullopt;
      }
    }
    if (empty) return at::empty(shape, id.type->scalar_type);
    if (offset < 0 || !last || *last >= id.used || elements > id.used) {
      return place.Corrupt(absl::StrCat("a tensor that reaches beyond its storage '", id.key,
                                        "' of ", id.used, " elements, or repeats them"));
    }
    SSD_ASSIGN_OR_RETURN(const Tensor storage, Storage(place, id));
    return storage.as_strided(shape, strides, id.first + offset);
  }

  // All of a storage as a tensor of one dimension, copied from the file once.
  absl::StatusOr<Tensor> Storage(const Place& place, const StorageId& id) {
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
    const std::optional<int64_t> size = Product(id.elements, id.type->size);
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

  const std::string& path_;
  const StorageSource& source_;
  std::map<std::string, Tensor> storages_;
};

// Collects the tensors below a value with their names.
class Collector {
 public:
  Collector(const std::string& path, TensorBuilder& builder, WeightFile& result)
      : path_(path), builder_(builder), result_(result) {}

  absl::Status Add(const std::string& name, const Value& value, int depth) {
    const Place place(path_, value);
    if (depth > kMaxDepth) {
      return place.Refuse(
          absl::StrCat("values are nested more than ", kMaxDepth, " deep, or in a circle"));
    }
    if (name.size() > kLongestName) {
      return place.Refuse("longer names than any file of weights has");
    }
    SSD_RETURN_IF_ERROR(Visit(place, 1 + value.items.size()));
    if (TensorBuilder::IsTensor(value)) return AddTensor(place, name, value);
    switch (value.kind) {
      case Value::kTuple:
      case Value::kList:
        for (size_t i = 0; i < value.items.size(); ++i) {
          SSD_RETURN_IF_ERROR(Add(Join(name, absl::StrCat(i)), *value.items[i], depth + 1));
        }
        return absl::OkStatus();
      case Value::kDict:
        return AddItems(name, value, depth);
      case Value::kObject:
        SSD_RETURN_IF_ERROR(Visit(place, value.arguments->items.size()));
        // What files before PyTorch 0.4 make parameters of.
        if (IsGlobal(*value.callable, "torch.nn.parameter", "Parameter") &&
            !value.arguments->items.empty()) {
          return Add(name, *value.arguments->items[0], depth + 1);
        }
        SSD_RETURN_IF_ERROR(CheckArguments(place, value));
        SSD_RETURN_IF_ERROR(AddItems(name, value, depth));
        if (value.state == nullptr) return absl::OkStatus();
        SSD_RETURN_IF_ERROR(Visit(place, value.state->items.size()));
        if (FindItem(*value.state, "_modules") != nullptr) {
          return AddModule(name, *value.state, depth);
        }
        return Add(name, *value.state, depth + 1);
      case Value::kPersistent:
        // Passed over, the tensor that it is a part of would be lost.
        if (!IsStorage(value)) return absl::OkStatus();
        return place.Refuse(
            "a storage outside a tensor of the kinds that are read; load the file with PyTorch and "
            "save its state dict again");
      default:
        return absl::OkStatus();
    }
  }

 private:
  // Counts values that are looked at; shared ones each time.
  absl::Status Visit(const Place& place, size_t values) {
    if (values > kMaxVisits - visits_) {
      return place.Refuse("more values than any file of weights has");
    }
    visits_ += values;
    return absl::OkStatus();
  }

  static bool IsStorage(const Value& value) {
    if (value.kind != Value::kPersistent) return false;
    const std::vector<Value*>& id = value.arguments->items;
    return !id.empty() && id[0]->kind == Value::kString && id[0]->text == "storage";
  }

  // Tensors that an object of an unknown class is made of have no name.
  static absl::Status CheckArguments(const Place& place, const Value& object) {
    for (const Value* const argument : object.arguments->items) {
      if (!TensorBuilder::IsTensor(*argument) && !IsStorage(*argument)) continue;
      return place.Refuse(absl::StrCat("an object of ", GlobalName(*object.callable),
                                       " is made of a tensor, which is not read; save a state dict "
                                       "instead"));
    }
    return absl::OkStatus();
  }

  static std::string Join(const std::string& prefix, absl::string_view name) {
    return prefix.empty() ? std::string(name) : absl::StrCat(prefix, ".", name);
  }

  // What an item adds to the name; nullopt for a key that is no name.
  static std::optional<std::string> KeyName(const Value& key) {
    if (key.kind == Value::kInteger) return absl::StrCat(key.integer);
    if (key.kind != Value::kString || key.text.size() > kLongestName) return std::nullopt;
    return std::string(key.text);
  }

  absl::Status AddItems(const std::string& name, const Value& dict, int depth) {
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const std::optional<std::string> key = KeyName(*dict.items[i]);
      if (!key) continue;
      SSD_RETURN_IF_ERROR(Add(Join(name, *key), *dict.items[i + 1], depth + 1));
    }
    return absl::OkStatus();
  }

  // The state_dict of a torch.nn.Module that was saved whole: its parameters, its buffers but those
  // that are not persistent, its children's.
  absl::Status AddModule(const std::string& name, const Value& state, int depth) {
    const Place place(path_, state);
    std::set<absl::string_view> left_out;
    const Value* const non_persistent = FindItem(state, "_non_persistent_buffers_set");
    if (non_persistent != nullptr) {
      SSD_RETURN_IF_ERROR(Visit(place, non_persistent->items.size()));
      for (const Value* const buffer : non_persistent->items) {
        // Longer ones are no names, and would be compared for long.
        if (buffer->kind != Value::kString || buffer->text.size() > kLongestName) continue;
        left_out.insert(buffer->text);
      }
    }
    for (const char* const part : {"_parameters", "_buffers", "_modules"}) {
      const Value* const items = FindItem(state, part);
      if (items == nullptr || items->kind != Value::kDict) continue;
      SSD_RETURN_IF_ERROR(Visit(place, items->items.size()));
      for (size_t i = 0; i + 1 < items->items.size(); i += 2) {
        const Value& key = *items->items[i];
        const std::optional<std::string> key_name = KeyName(key);
        if (!key_name || (part == absl::string_view("_buffers") && left_out.count(key.text) > 0)) {
          continue;
        }
        SSD_RETURN_IF_ERROR(Add(Join(name, *key_name), *items->items[i + 1], depth + 1));
      }
    }
    return absl::OkStatus();
  }

  absl::Status AddTensor(const Place& place, const std::string& name, const Value& value) {
    if (result_.tensors.size() >= kMaxTensors) {
      return place.Refuse(absl::StrCat("more than ", kMaxTensors, " tensors"));
    }
    name_bytes_ += name.size();
    if (name_bytes_ > kMaxNameBytes) {
      return place.Refuse("longer names than any file of weights has");
    }
    if (!names_.insert(name).second) {
      return place.Corrupt(absl::StrCat("two tensors are called '", name, "'"));
    }
    SSD_ASSIGN_OR_RETURN(Tensor tensor, builder_.Build(value));
    result_.tensors.emplace_back(name, std::move(tensor));
    return absl::OkStatus();
  }

  const std::string& path_;
  TensorBuilder& builder_;
  WeightFile& result_;
  std::set<std::string> names_;
  size_t name_bytes_ = 0;
  size_t visits_ = 0;
};

// The part of a checkpoint that holds the weights. Its numbers and texts become metadata, while
// they are within kMaxMetadataBytes.
absl::StatusOr<const Value*> WeightsOf(const Value& root, const std::string& path,
                                       std::map<std::string, std::string>& metadata) {
  const Value* weights = &root;
  size_t visits = 0;
  size_t metadata_bytes = 0;
  const auto add = [&](absl::string_view name, absl::string_view text) {
    if (name.size() + text.size() > kMaxMetadataBytes - metadata_bytes) return;
    metadata_bytes += name.size() + text.size();
    metadata[std::string(name)] = std::string(text);
  };
  for (int depth = 0; depth < kMaxDepth && weights->kind == Value::kDict; ++depth) {
    visits += weights->items.size();
    if (visits > kMaxVisits) {
      return Place(path, *weights).Refuse("more values than any file of weights has");
    }
    const Value* inner = nullptr;
    for (const char* const key : kWeightKeys) {
      const Value* const candidate = FindItem(*weights, key);
      if (candidate == nullptr || TensorBuilder::IsTensor(*candidate)) continue;
      if (candidate->kind != Value::kDict && candidate->kind != Value::kObject) continue;
      inner = candidate;
      break;
    }
    if (inner == nullptr) break;
    for (size_t i = 0; i + 1 < weights->items.size(); i += 2) {
      const Value& key = *weights->items[i];
      const Value& value = *weights->items[i + 1];
      if (key.kind != Value::kString) continue;
      if (value.kind == Value::kString) add(key.text, value.text);
      if (value.kind == Value::kInteger) add(key.text, absl::StrCat(value.integer));
      if (value.kind == Value::kReal) add(key.text, absl::StrCat(value.real));
    }
    weights = inner;
  }
  return weights;
}

// Drops what DataParallel and torch.compile put before every name.
void DropWrappers(WeightFile& file) {
  if (file.tensors.empty()) return;
  for (bool found = true; found;) {
    found = false;
    for (const absl::string_view wrapper : kWrappers) {
      const bool everywhere =
          std::all_of(file.tensors.begin(), file.tensors.end(), [wrapper](const auto& entry) {
            return absl::StartsWith(entry.first, wrapper) && entry.first.size() > wrapper.size();
          });
      if (!everywhere) continue;
      for (auto& [name, tensor] : file.tensors) name.erase(0, wrapper.size());
      found = true;
    }
  }
}

absl::StatusOr<WeightFile> Collect(const Pickle& pickle, const StorageSource& source,
                                   const std::string& path) {
  WeightFile file;
  TensorBuilder builder(path, source);
  SSD_ASSIGN_OR_RETURN(const Value* const weights, WeightsOf(pickle.root(), path, file.metadata));
  SSD_RETURN_IF_ERROR(Collector(path, builder, file).Add("", *weights, 0));
  DropWrappers(file);
  return file;
}

// --- the zip format ---

class ZipStorages : public StorageSource {
 public:
  ZipStorages(const ZipArchive& archive, std::string folder)
      : archive_(archive), folder_(std::move(folder)) {}

  absl::StatusOr<absl::string_view> Find(const std::string& key) const override {
    return archive_.Read(absl::StrCat(folder_, "data/", key));
  }

 private:
  const ZipArchive& archive_;
  std::string folder_;
};

absl::StatusOr<WeightFile> ParseZip(absl::string_view bytes, const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Open(bytes, path));
  // All entries are in one folder, which has the file's first name.
  std::string pickle_name;
  for (const auto& [name, entry] : archive.entries()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
    if (!pickle_name.empty()) {
      return absl::DataLossError(
          absl::StrCat(path, ": holds two pickles, '", pickle_name, "' and '", name, "'"));
    }
    pickle_name = name;
  }
  if (pickle_name.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a zip file, but not of PyTorch's: it has no 'data.pkl' in its folder"));
  }
  const std::string folder = pickle_name.substr(0, pickle_name.find('/') + 1);
  if (archive.entries().count(folder + "byteorder") > 0) {
    SSD_ASSIGN_OR_RETURN(const absl::string_view order, archive.Read(folder + "byteorder"));
    if (order != "little") {
      return absl::InvalidArgumentError(absl::StrCat(path, ": was written with byte order '",
                                                     order.substr(0, 20),
                                                     "'; only little-endian files are read"));
    }
  }
  SSD_ASSIGN_OR_RETURN(const absl::string_view pickled, archive.Read(pickle_name));
  const size_t begin = static_cast<size_t>(pickled.data() - bytes.data());
  // So that the pickle's errors tell the byte of the file, and it ends where the entry does.
  SSD_ASSIGN_OR_RETURN(const Pickle pickle,
                       Pickle::Parse(bytes.substr(0, begin + pickled.size()), path, begin));
  return Collect(pickle, ZipStorages(archive, folder), path);
}

// --- the format before PyTorch 1.6 ---

class LegacyStorages : public StorageSource {
 public:
  explicit LegacyStorages(const std::string& path) : path_(path) {}

  absl::StatusOr<absl::string_view> Find(const std::string& key) const override {
    const auto found = storages_.find(key);
    if (found != storages_.end()) return found->second;
    return absl::DataLossError(absl::StrCat(path_, ": has no storage '", key, "'"));
  }

  // False when there is one of that key already.
  bool Add(const std::string& key, absl::string_view bytes) {
    return storages_.emplace(key, bytes).second;
  }

 private:
  const std::string& path_;
  std::map<std::string, absl::string_view> storages_;
};

// The storages that the pickle's tensors are made of, by their keys.
absl::StatusOr<std::map<std::string, StorageId>> StorageIds(const Pickle& pickle,
                                                            const std::string& path) {
  std::map<std::string, StorageId> ids;
  for (const Value* const value : pickle.persistent()) {
    const Value& id = *value->arguments;
    // The others are classes of modules with their source code.
    if (id.kind == Value::kTuple && !id.items.empty() && id.items[0]->kind == Value::kString &&
        id.items[0]->text == "module") {
      continue;
    }
    SSD_ASSIGN_OR_RETURN(StorageId storage, ParseStorageId(*value, path));
    std::string key = storage.key;
    ids.emplace(std::move(key), std::move(storage));
  }
  return ids;
}

// Magic number, version, facts about the machine, the values, the keys of the storages: a pickle
// each. Then the storages in the order of the keys: a number of elements (8 bytes) and they.
absl::StatusOr<WeightFile> ParseLegacy(absl::string_view bytes, const std::string& path) {
  const auto corrupt = [&path](size_t byte, absl::string_view what) {
    return absl::DataLossError(absl::StrCat(path, ": byte ", byte, ": ", what));
  };
  SSD_ASSIGN_OR_RETURN(const Pickle magic, Pickle::Parse(bytes, path));
  if (magic.root().kind != Value::kLongInteger || magic.root().text != kMagic) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is a pickle, but no file of PyTorch's (its magic number is missing)"));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle version, Pickle::Parse(bytes, path, magic.end()));
  if (version.root().kind != Value::kInteger || version.root().integer != kProtocolVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is of another version than ", kProtocolVersion));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle machine, Pickle::Parse(bytes, path, version.end()));
  const Value* const little_endian = FindItem(machine.root(), "little_endian");
  if (little_endian == nullptr || little_endian->kind != Value::kBool ||
      little_endian->integer == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": was not written on a little-endian machine; only such files are read"));
  }
  SSD_ASSIGN_OR_RETURN(const Pickle values, Pickle::Parse(bytes, path, machine.end()));
  SSD_ASSIGN_OR_RETURN(const Pickle keys, Pickle::Parse(bytes, path, values.end()));
  if (keys.root().kind != Value::kList) return corrupt(values.end(), "no list of storages");

  SSD_ASSIGN_OR_RETURN(const auto ids, StorageIds(values, path));
  LegacyStorages storages(path);
  size_t position = keys.end();
  for (const Value* const key : keys.root().items) {
    const auto id = key->kind == Value::kString ? ids.find(std::string(key->text)) : ids.end();
    if (id == ids.end()) return corrupt(key->position, "a storage that no tensor is made of");
    const StorageId& storage = id->second;
    if (bytes.size() - position < 8) return corrupt(position, "the file is cut off");
    const uint64_t elements = FromLittleEndian(bytes.substr(position, 8));
    position += 8;
    const std::optional<int64_t> size = Product(storage.elements, storage.type->size);
    if (elements != static_cast<uint64_t>(storage.elements) || !size ||
        static_cast<uint64_t>(*size) > bytes.size() - position) {
      return corrupt(position, absl::StrCat("storage '", storage.key, "' of ", storage.elements,
                                            " elements is cut off or corrupt"));
    }
    if (!storages.Add(storage.key, bytes.substr(position, static_cast<size_t>(*size)))) {
      return corrupt(key->position, absl::StrCat("two storages are called '", storage.key, "'"));
    }
    position += static_cast<size_t>(*size);
  }
  return Collect(values, storages, path);
}

// --- writing ---

// Writes a pickle of protocol 2 as Python's pickle module does, which remembers every value that it
// may have to refer to again, whether it does or not.
class Pickler {
 public:
  void Byte(unsigned char byte) { bytes_.push_back(static_cast<char>(byte)); }

  // Not negative.
  void Integer(int64_t value) {
    const uint64_t number = static_cast<uint64_t>(value);
    size_t width = 1;
    if (value < 0x100) {
      Byte('K');
    } else if (value < 0x10000) {
      Byte('M');
      width = 2;
    } else if (value <= std::numeric_limits<int32_t>::max()) {
      Byte('J');
      width = 4;
    } else {
      // As few bytes as leave room for the sign.
      for (width = 5; width < 8 && number >> (8 * width - 1) != 0;) ++width;
      Byte(0x8a);
      Byte(static_cast<unsigned char>(width));
    }
    AppendLittleEndian(number, width, bytes_);
  }

  void String(absl::string_view text) {
    Byte('X');
    AppendLittleEndian(text.size(), 4, bytes_);
    absl::StrAppend(&bytes_, text);
    Remember();
  }

  // A string or a class that comes again and again is written once.
  void SharedString(const std::string& text) {
    if (Recall(text)) return;
    String(text);
    shared_[text] = remembered_ - 1;
  }
  void Global(const std::string& module, const std::string& name) {
    const std::string line = absl::StrCat(module, "\n", name, "\n");
    if (Recall(line)) return;
    Byte('c');
    absl::StrAppend(&bytes_, line);
    Remember();
    shared_[line] = remembered_ - 1;
  }

  void Tuple(at::IntArrayRef numbers) {
    if (numbers.size() > 3) Byte('(');
    for (const int64_t number : numbers) Integer(number);
    EndTuple(numbers.size());
  }

  // Of the `size` values before; above three they began with a mark.
  void EndTuple(size_t size) {
    constexpr unsigned char kOpcodes[] = {')', 0x85, 0x86, 0x87};
    Byte(size > 3 ? 't' : kOpcodes[size]);
    if (size > 0) Remember();
  }

  void Reduce() {
    Byte('R');
    Remember();
  }

  void EmptyOrderedDict() {
    Global("collections", "OrderedDict");
    EndTuple(0);
    Reduce();
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void Remember() {
    const bool is_short = remembered_ < 0x100;
    Byte(is_short ? 'q' : 'r');
    AppendLittleEndian(remembered_, is_short ? 1 : 4, bytes_);
    ++remembered_;
  }

  bool Recall(const std::string& key) {
    const auto found = shared_.find(key);
    if (found == shared_.end()) return false;
    const bool is_short = found->second < 0x100;
    Byte(is_short ? 'h' : 'j');
    AppendLittleEndian(found->second, is_short ? 1 : 4, bytes_);
    return true;
  }

  std::string bytes_;
  uint64_t remembered_ = 0;
  std::map<std::string, uint64_t> shared_;
};

void PickleTensor(const Tensor& tensor, const ElementType& type, size_t key, Pickler& pickler) {
  pickler.Global("torch._utils", "_rebuild_tensor_v2");
  pickler.Byte('(');
  pickler.Byte('(');
  pickler.SharedString("storage");
  pickler.Global("torch", type.storage_class);
  pickler.String(absl::StrCat(key));
  pickler.SharedString("cpu");
  pickler.Integer(tensor.numel());
  pickler.EndTuple(5);
  pickler.Byte('Q');
  pickler.Integer(0);
  pickler.Tuple(tensor.sizes());
  pickler.Tuple(tensor.strides());
  pickler.Byte(0x89);
  pickler.EmptyOrderedDict();
  pickler.EndTuple(6);
  pickler.Reduce();
}

}  // namespace

absl::StatusOr<WeightFile> ParseTorchFile(absl::string_view bytes, const std::string& path) {
  if (absl::StartsWith(bytes, "PK")) return ParseZip(bytes, path);
  if (absl::StartsWith(bytes, "\x80")) return ParseLegacy(bytes, path);
  constexpr size_t kTarSignature = 257;
  if (bytes.size() > kTarSignature && absl::StartsWith(bytes.substr(kTarSignature), "ustar")) {
    return absl::InvalidArgumentError(absl::StrCat(
        path,
        ": is a tar file, as PyTorch before 0.1.10 wrote; take the file that torchvision names "
        "today (resnet18-f37072fd.pth, resnet50-0676ba61.pth), or save the state dict again with "
        "PyTorch"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(path,
                   ": is no file of PyTorch's: it begins neither as a zip file nor as a "
                   "pickle"));
}

absl::StatusOr<WeightFile> ReadTorchFile(const std::string& path) {
  SSD_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseTorchFile(file.bytes(), path);
}

absl::Status WriteTorchFile(const std::string& path, const WeightFile& weights) {
  // Python's pickle module writes items in groups of this size.
  constexpr size_t kBatch = 1000;
  std::vector<Tensor> rows;
  Pickler pickler;
  pickler.Byte(0x80);
  pickler.Byte(2);
  pickler.EmptyOrderedDict();
  for (size_t i = 0; i < weights.tensors.size(); ++i) {
    const auto& [name, tensor] = weights.tensors[i];
    const ElementType* const type = FindElementType(tensor.scalar_type());
    if (type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": cannot write: tensor '", name, "' is of type ",
                       c10::toString(tensor.scalar_type()), ", which is not written"));
    }
    const size_t group = std::min(kBatch, weights.tensors.size() - i / kBatch * kBatch);
    if (i % kBatch == 0 && group > 1) pickler.Byte('(');
    rows.push_back(tensor.detach().cpu().contiguous());
    pickler.String(name);
    PickleTensor(rows.back(), *type, i, pickler);
    if (i % kBatch == group - 1) pickler.Byte(group > 1 ? 'u' : 's');
  }
  pickler.Byte('.');

  std::string content;
  {
    caffe2::serialize::PyTorchStreamWriter zip([&content](const void* data, size_t size) {
      content.append(static_cast<const char*>(data), size);
      return size;
    });
    zip.writeRecord("data.pkl", pickler.bytes().data(), pickler.bytes().size());
    constexpr absl::string_view kByteOrder = "little";
    zip.writeRecord("byteorder", kByteOrder.data(), kByteOrder.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const void* const data = rows[i].numel() > 0 ? rows[i].const_data_ptr() : "";
      zip.writeRecord(absl::StrCat("data/", i), data, rows[i].nbytes());
    }
    zip.writeEndOfFile();
  }
  return WriteFileAtomically(path, content);
}

}  // namespace ssd
