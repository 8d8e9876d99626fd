#ifndef SSD_WEIGHTS_NAME_RULES_H_
#define SSD_WEIGHTS_NAME_RULES_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace ssd {

// How one project's names become another's: "extra.#.0.*" -> "neck.#.conv1.*". # stands for a
// whole number, * at the end for all the rest; both sides have the same ones in the same order.
struct NameRule {
  std::string from;
  std::string to;  // empty: such a weight is known, and left out
};

// `name` by the first rule whose `from` it is; "" for one that is left out, nullopt when there is
// no rule.
std::optional<std::string> Rename(absl::Span<const NameRule> rules, absl::string_view name);

// The other way round: by the first rule whose `to` it is.
std::optional<std::string> RenameBack(absl::Span<const NameRule> rules, absl::string_view name);

}  // namespace ssd

#endif  // SSD_WEIGHTS_NAME_RULES_H_
