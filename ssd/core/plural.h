#ifndef SSD_CORE_PLURAL_H_
#define SSD_CORE_PLURAL_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace ssd {

// "1 box", "2 boxes", "0 objects". `noun`: in the singular; one that ends in x takes "es".
std::string Plural(int64_t count, absl::string_view noun);

}  // namespace ssd

#endif  // SSD_CORE_PLURAL_H_
