#include "data/label_index.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ssd {

absl::StatusOr<LabelIndex> LabelIndex::Create(const std::vector<std::string>& names) {
  LabelIndex index;
  for (const std::string& name : names) {
    if (name.empty()) {
      return absl::InvalidArgumentError("data.label: an empty class name; give each class a name");
    }
    const auto label = static_cast<int64_t>(index.labels_.size()) + 1;
    if (!index.labels_.emplace(name, label).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("data.label: class '", name, "' is given twice; name each class once"));
    }
  }
  return index;
}

absl::StatusOr<int64_t> LabelIndex::Find(absl::string_view name, absl::string_view where) const {
  const auto found = labels_.find(name);
  if (found != labels_.end()) return found->second;
  constexpr size_t kMostListed = 20;
  std::vector<std::string> known;
  for (const auto& entry : labels_) {
    if (known.size() == kMostListed) {
      known.push_back("...");
      break;
    }
    known.push_back(entry.first);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": class '", name, "' is not among the experiment's ", labels_.size(), " labels (",
      absl::StrJoin(known, ", "), "); add it to data.label or correct the annotation"));
}

}  // namespace ssd
