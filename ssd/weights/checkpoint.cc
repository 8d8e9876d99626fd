#include "ssd/weights/checkpoint.h"

#include <cstddef>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "ssd/core/status_macros.h"
#include "ssd/weights/pickle.h"
#include "ssd/weights/tensor_search.h"
#include "ssd/weights/torch_tensors.h"

namespace ssd {
namespace {

using Value = PickleValue;

constexpr int kMaxDepth = 100;
constexpr size_t kMaxMetadataBytes = size_t{1} << 20;  // names and texts

// Where a checkpoint may have its weights; the first of them counts.
constexpr const char* kWeightKeys[] = {"state_dict", "model_state_dict", "model", "net", "module",
                                       "ema",        "weights"};
// What the keys of optimizers begin with.
constexpr char kOptimizer[] = "optim";

// Whether its tensors have names of their own.
bool MayBeWeights(const Value& value) {
  return (value.kind == Value::kDict || value.kind == Value::kObject) && !IsTorchTensor(value) &&
         WrappedTensor(value) == nullptr;
}

// The value of the first usual key that has tensors; null when there is none.
absl::StatusOr<const Value*> ByUsualKey(const Value& dict, TensorSearch& search) {
  for (const char* const key : kWeightKeys) {
    const Value* const candidate = FindItem(dict, key);
    if (candidate == nullptr || !MayBeWeights(*candidate)) continue;
    SSD_ASSIGN_OR_RETURN(const bool has_tensors, search.Finds(*candidate));
    if (has_tensors) return candidate;
  }
  return nullptr;
}

// The one value that has tensors; null when the dict itself is the weights.
absl::StatusOr<const Value*> OnlyOne(const Value& dict, const std::string& path,
                                     TensorSearch& search) {
  const Value* only = nullptr;
  std::vector<std::string> keys;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value& key = *dict.items[i];
    const Value& value = *dict.items[i + 1];
    if (IsTorchTensor(value) || WrappedTensor(value) != nullptr) return nullptr;
    if (key.kind == Value::kString && absl::StartsWith(key.text, kOptimizer)) continue;
    SSD_ASSIGN_OR_RETURN(const bool has_tensors, search.Finds(value));
    if (!has_tensors) continue;
    only = &value;
    constexpr size_t kShown = 100;
    keys.push_back(key.kind == Value::kString ? absl::StrCat("'", key.text.substr(0, kShown), "'")
                                              : absl::StrCat(key.integer));
  }
  if (keys.size() > 1) {
    constexpr size_t kMost = 8;
    const size_t count = keys.size();
    if (count > kMost) {
      keys.resize(kMost);
      keys.emplace_back("...");
    }
    return PicklePlace(path, dict)
        .Refuse(absl::StrCat(count, " entries have tensors (", absl::StrJoin(keys, ", "),
                             "), none of which is called ", absl::StrJoin(kWeightKeys, ", "),
                             "; save the one that is the weights by itself with PyTorch"));
  }
  return only != nullptr && MayBeWeights(*only) ? only : nullptr;
}

// Adds a dict's numbers and texts while there is room.
class MetadataCollector {
 public:
  explicit MetadataCollector(std::map<std::string, std::string>& metadata) : metadata_(metadata) {}

  void AddItems(const Value& dict) {
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const Value& key = *dict.items[i];
      const Value& value = *dict.items[i + 1];
      if (key.kind != Value::kString) continue;
      if (value.kind == Value::kString) Add(key.text, value.text);
      if (value.kind == Value::kInteger) Add(key.text, absl::StrCat(value.integer));
      if (value.kind == Value::kReal) Add(key.text, absl::StrCat(value.real));
    }
  }

 private:
  void Add(absl::string_view name, absl::string_view text) {
    if (name.size() + text.size() > kMaxMetadataBytes - bytes_) return;
    bytes_ += name.size() + text.size();
    metadata_[std::string(name)] = std::string(text);
  }

  std::map<std::string, std::string>& metadata_;
  size_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<const PickleValue*> FindCheckpointWeights(
    const PickleValue& root, const std::string& path,
    std::map<std::string, std::string>& metadata) {
  TensorSearch search(path, TensorSearch::kNamed);
  MetadataCollector collector(metadata);
  const Value* weights = &root;
  size_t visits = 0;
  for (int depth = 0; depth < kMaxDepth && weights->kind == Value::kDict; ++depth) {
    visits += weights->items.size();
    if (visits > Pickle::kMaxValues) {
      return PicklePlace(path, *weights).Refuse("more values than any file of weights has");
    }
    SSD_ASSIGN_OR_RETURN(const Value* inner, ByUsualKey(*weights, search));
    if (inner == nullptr && weights == &root) {
      SSD_ASSIGN_OR_RETURN(inner, OnlyOne(root, path, search));
    }
    if (inner == nullptr) break;
    collector.AddItems(*weights);
    weights = inner;
  }
  return weights;
}

}  // namespace ssd
