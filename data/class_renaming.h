#ifndef DATA_CLASS_RENAMING_H_
#define DATA_CLASS_RENAMING_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/data.pb.h"

namespace ssd {

// What a ClassMap makes of the class names in a dataset's files.
class ClassRenaming {
 public:
  // \error InvalidArgument naming the rule, for a name in two rules, an empty one, a rename without
  // `to`.
  static absl::StatusOr<ClassRenaming> Create(const ClassMap& map);

  // The name here of class `name`; nullopt: its objects are left out.
  std::optional<std::string> Apply(absl::string_view name) const;

 private:
  std::map<std::string, std::string, std::less<>> renamed_;
  std::set<std::string, std::less<>> dropped_;
  std::set<std::string, std::less<>> kept_;  // empty: every class that no rule names
};

}  // namespace ssd

#endif  // DATA_CLASS_RENAMING_H_
