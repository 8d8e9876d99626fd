#ifndef SSD_CORE_OPTION_CHECK_H_
#define SSD_CORE_OPTION_CHECK_H_

#include <google/protobuf/message.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// How components judge their options, and what they say about wrong ones.
namespace ssd {

// Ok if `in_range` and the value is finite.
// \error InvalidArgument "FIELD: VALUE must be RULE": the field with its family
// ("loss.focal.alpha") and its range ("in (0, 1)"); then " and finite" where only that is wrong.
absl::Status CheckOption(bool in_range, absl::string_view field, double value,
                         absl::string_view rule);

// Ok if `value` lies in [low, high]; NaN and infinities do not. The limits may be infinite.
// \error InvalidArgument as above, "in [LOW, HIGH]".
absl::Status CheckRange(absl::string_view field, double value, double low, double high);

// For an option that other options leave without effect: ok where it is unset or at its default
// (which resolved experiments write out), so that no one takes it for more than it is.
// `path` is the options' own, with the dot ("loss.multibox."); `needed` what would give the option
// an effect ("mining: HARD_NEGATIVE"). Precondition: `options` has a field `name`.
// \error InvalidArgument "PATHNAME: VALUE has no effect without PATHNEEDED; ...".
absl::Status CheckUnused(const google::protobuf::Message& options, const std::string& name,
                         absl::string_view path, absl::string_view needed);

}  // namespace ssd

#endif  // SSD_CORE_OPTION_CHECK_H_
