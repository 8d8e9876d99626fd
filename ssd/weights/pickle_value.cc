#include "ssd/weights/pickle_value.h"

#include "absl/strings/str_cat.h"

namespace ssd {

bool IsGlobal(const PickleValue& value, absl::string_view module, absl::string_view name) {
  return value.kind == PickleValue::kGlobal && value.text == module && value.name == name;
}

std::string GlobalName(const PickleValue& value) {
  if (value.kind != PickleValue::kGlobal) return "something";
  // A hostile name may be as long as the file.
  constexpr size_t kShown = 100;
  return absl::StrCat(value.text.substr(0, kShown), ".", value.name.substr(0, kShown));
}

const PickleValue* FindItem(const PickleValue& value, absl::string_view key) {
  if (value.kind != PickleValue::kDict && value.kind != PickleValue::kObject) return nullptr;
  // As in Python, the last of equal keys counts.
  for (size_t i = value.items.size() / 2; i-- > 0;) {
    const PickleValue& candidate = *value.items[2 * i];
    if (candidate.kind == PickleValue::kString && candidate.text == key) {
      return value.items[2 * i + 1];
    }
  }
  return nullptr;
}

absl::Status PicklePlace::Corrupt(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(path_, ": byte ", position_, ": ", what));
}

absl::Status PicklePlace::Refuse(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, ": byte ", position_, ": ", what));
}

}  // namespace ssd
