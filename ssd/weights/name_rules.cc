#include "ssd/weights/name_rules.h"

#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace ssd {
namespace {

bool IsWildcard(char c) { return c == '#' || c == '*'; }

// What the wildcards of `from` stand for in `name`; nullopt when it is not `from`.
std::optional<std::vector<absl::string_view>> Match(absl::string_view from,
                                                    absl::string_view name) {
  std::vector<absl::string_view> found;
  size_t position = 0;
  for (const char c : from) {
    if (c == '*') {
      found.push_back(name.substr(position));
      return found;
    }
    const size_t begin = position;
    if (c == '#') {
      while (position < name.size() &&
             absl::ascii_isdigit(static_cast<unsigned char>(name[position]))) {
        ++position;
      }
      if (position == begin) return std::nullopt;
      found.push_back(name.substr(begin, position - begin));
    } else if (position == name.size() || name[position++] != c) {
      return std::nullopt;
    }
  }
  if (position != name.size()) return std::nullopt;
  return found;
}

std::optional<std::string> Apply(absl::string_view from, absl::string_view to,
                                 absl::string_view name) {
  const auto found = Match(from, name);
  if (!found) return std::nullopt;
  std::string result;
  size_t next = 0;
  for (const char c : to) {
    if (IsWildcard(c) && next < found->size()) {
      absl::StrAppend(&result, (*found)[next++]);
    } else {
      result.push_back(c);
    }
  }
  return result;
}

}  // namespace

std::optional<std::string> Rename(absl::Span<const NameRule> rules, absl::string_view name) {
  for (const NameRule& rule : rules) {
    std::optional<std::string> result = Apply(rule.from, rule.to, name);
    if (result) return result;
  }
  return std::nullopt;
}

std::optional<std::string> RenameBack(absl::Span<const NameRule> rules, absl::string_view name) {
  for (const NameRule& rule : rules) {
    if (rule.to.empty()) continue;
    std::optional<std::string> result = Apply(rule.to, rule.from, name);
    if (result) return result;
  }
  return std::nullopt;
}

}  // namespace ssd
