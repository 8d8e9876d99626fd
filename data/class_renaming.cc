#include "data/class_renaming.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ssd/core/status_macros.h"

namespace ssd {

absl::StatusOr<ClassRenaming> ClassRenaming::Create(const ClassMap& map) {
  std::set<std::string> named;
  const auto check = [&named](const std::string& field, const std::string& name) {
    if (name.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": an empty class name; give the name that stands in the files"));
    }
    if (!named.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": class '", name, "' is named twice in class_map; name it once"));
    }
    return absl::OkStatus();
  };

  ClassRenaming renaming;
  for (int i = 0; i < map.rename_size(); ++i) {
    const ClassMap::Rename& rule = map.rename(i);
    const std::string field = absl::StrCat("class_map.rename[", i, "]");
    if (rule.from().empty() || rule.to().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, rule.to().empty() ? ".to" : ".from",
                       " is not set; write rename { from: \"puppy\" to: \"dog\" }"));
    }
    for (const std::string& name : rule.from()) {
      SSD_RETURN_IF_ERROR(check(absl::StrCat(field, ".from"), name));
      renaming.renamed_.emplace(name, rule.to());
    }
  }
  for (const std::string& name : map.drop()) {
    SSD_RETURN_IF_ERROR(check("class_map.drop", name));
    renaming.dropped_.insert(name);
  }
  for (const std::string& name : map.keep()) {
    SSD_RETURN_IF_ERROR(check("class_map.keep", name));
    renaming.kept_.insert(name);
  }
  return renaming;
}

std::optional<std::string> ClassRenaming::Apply(absl::string_view name) const {
  const auto renamed = renamed_.find(name);
  if (renamed != renamed_.end()) return renamed->second;
  const bool is_kept = kept_.empty() || kept_.count(name) > 0;
  if (!is_kept || dropped_.count(name) > 0) return std::nullopt;
  return std::string(name);
}

}  // namespace ssd
