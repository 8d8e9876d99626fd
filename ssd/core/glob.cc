#include "ssd/core/glob.h"

#include <cstddef>

namespace ssd {

bool MatchesGlob(absl::string_view pattern, absl::string_view name) {
  size_t in_pattern = 0;
  size_t in_name = 0;
  // Where the last star stands and the name goes on after what it takes. An earlier star has
  // nothing to gain from taking more: whatever follows it can be left to the last one.
  size_t star = absl::string_view::npos;
  size_t after_star = 0;
  while (in_name < name.size()) {
    if (in_pattern < pattern.size() && pattern[in_pattern] == '*') {
      star = in_pattern++;
      after_star = in_name;
    } else if (in_pattern < pattern.size() && pattern[in_pattern] == name[in_name]) {
      ++in_pattern;
      ++in_name;
    } else if (star != absl::string_view::npos) {
      in_pattern = star + 1;
      in_name = ++after_star;
    } else {
      return false;
    }
  }
  while (in_pattern < pattern.size() && pattern[in_pattern] == '*') ++in_pattern;
  return in_pattern == pattern.size();
}

}  // namespace ssd
