#include "ssd/core/plural.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace ssd {

std::string Plural(int64_t count, absl::string_view noun) {
  const char* const ending = absl::EndsWith(noun, "x") ? "es" : "s";
  return absl::StrCat(count, " ", noun, count == 1 ? "" : ending);
}

}  // namespace ssd
