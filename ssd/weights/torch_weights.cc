#include "ssd/weights/torch_weights.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "ssd/core/status_macros.h"
#include "ssd/weights/checkpoint.h"
#include "ssd/weights/tensor_search.h"

namespace ssd {
namespace {

using Place = PicklePlace;
using Value = PickleValue;

// Limits on what a file may ask for, far above what any model needs.
constexpr int kMaxDepth = 100;
constexpr size_t kMaxVisits = Pickle::kMaxValues;  // shared values can be met again and again
constexpr size_t kMaxTensors = 100'000;
constexpr size_t kLongestName = 4096;
constexpr size_t kMaxNameBytes = size_t{16} << 20;  // of all tensors

// What may stand before every name; of those that do, the first is dropped.
constexpr const char* kWrappers[] = {"module.1.", "module.", "_orig_mod.", "model."};

// Collects the tensors below a value with their names.
class Collector {
 public:
  Collector(const std::string& path, TorchTensorBuilder& builder, WeightFile& result)
      : path_(path), builder_(builder), result_(result), search_(path, TensorSearch::kAny) {}

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
    if (IsTorchTensor(value)) return AddTensor(place, name, value);
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
        return AddObject(name, value, depth);
      case Value::kPersistent:
        // Passed over, the tensor that it is a part of would be lost.
        if (!IsTorchStorage(value)) return absl::OkStatus();
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

  absl::Status AddObject(const std::string& name, const Value& object, int depth) {
    const Place place(path_, object);
    if (const Value* const wrapped = WrappedTensor(object); wrapped != nullptr) {
      return Add(name, *wrapped, depth + 1);
    }
    if (object.state != nullptr) {
      SSD_RETURN_IF_ERROR(Visit(place, object.state->items.size()));
      if (FindItem(*object.state, "_modules") != nullptr) {
        return AddModule(name, *object.state, depth);
      }
    }
    SSD_ASSIGN_OR_RETURN(const bool has_tensors, search_.Finds(object));
    if (!has_tensors) return absl::OkStatus();
    SSD_ASSIGN_OR_RETURN(const bool is_made_of_them, search_.Finds(*object.arguments));
    // They would have no names.
    if (is_made_of_them) {
      return place.Refuse(absl::StrCat("an object of ", GlobalName(*object.callable),
                                       " is made of a tensor, which is not read; save a state dict "
                                       "instead"));
    }
    SSD_RETURN_IF_ERROR(AddItems(name, object, depth));
    return object.state == nullptr ? absl::OkStatus() : Add(name, *object.state, depth + 1);
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
  TorchTensorBuilder& builder_;
  WeightFile& result_;
  TensorSearch search_;
  std::set<std::string> names_;
  size_t name_bytes_ = 0;
  size_t visits_ = 0;
};

// Drops what DataParallel, torch.compile and modules around the network put before every name.
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

}  // namespace

absl::StatusOr<WeightFile> CollectTorchWeights(const Pickle& pickle, const TorchStorages& storages,
                                               const std::string& path) {
  WeightFile file;
  TorchTensorBuilder builder(path, storages);
  SSD_ASSIGN_OR_RETURN(const Value* const weights,
                       FindCheckpointWeights(pickle.root(), path, file.metadata));
  SSD_RETURN_IF_ERROR(Collector(path, builder, file).Add("", *weights, 0));
  DropWrappers(file);
  return file;
}

}  // namespace ssd
