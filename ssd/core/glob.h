#ifndef SSD_CORE_GLOB_H_
#define SSD_CORE_GLOB_H_

#include "absl/strings/string_view.h"

namespace ssd {

// Whether `pattern` is all of `name`, every * in it standing for any characters, dots too, or none.
// Nothing else is special. Takes at most as many steps as the product of the two lengths.
bool MatchesGlob(absl::string_view pattern, absl::string_view name);

}  // namespace ssd

#endif  // SSD_CORE_GLOB_H_
