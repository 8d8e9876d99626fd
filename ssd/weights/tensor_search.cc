#include "ssd/weights/tensor_search.h"

#include <vector>

#include "ssd/weights/pickle.h"
#include "ssd/weights/torch_tensors.h"

namespace ssd {

absl::StatusOr<bool> TensorSearch::Finds(const PickleValue& value) {
  // What this search has met; all of it is in without_ while the search goes on.
  std::vector<const PickleValue*> met;
  const auto meet = [this, &met](const PickleValue* next) {
    if (next != nullptr && without_.insert(next).second) met.push_back(next);
  };
  meet(&value);
  for (size_t i = 0; i < met.size(); ++i) {
    const PickleValue& current = *met[i];
    visits_ += 1 + current.items.size();
    if (visits_ > Pickle::kMaxValues) {
      return PicklePlace(path_, current).Refuse("more values than any file of weights has");
    }
    if (IsTorchTensor(current) || IsTorchStorage(current)) {
      for (const PickleValue* const other : met) without_.erase(other);
      return true;
    }
    // Keys are no place for a tensor.
    const bool is_object = current.kind == PickleValue::kObject;
    const bool has_keys = is_object || current.kind == PickleValue::kDict;
    for (size_t item = has_keys ? 1 : 0; item < current.items.size(); item += has_keys ? 2 : 1) {
      meet(current.items[item]);
    }
    if (!is_object) continue;
    meet(current.state);
    meet(way_ == kAny ? current.arguments : WrappedTensor(current));
  }
  return false;
}

}  // namespace ssd
