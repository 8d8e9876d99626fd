#ifndef SSD_WEIGHTS_PICKLE_FUNCTIONS_H_
#define SSD_WEIGHTS_PICKLE_FUNCTIONS_H_

#include "ssd/weights/pickle_value.h"

namespace ssd {

// What a function that a pickle calls would return, as far as it is known here.
enum class PickleResult {
  kUnknown,
  kDict,      // of its argument's items, if any
  kList,      // of its argument's elements, if any
  kTuple,     // likewise
  kSet,       // likewise
  kArgument,  // its first argument
};

// Known are the functions of Python and PyTorch that only make containers, by their names.
PickleResult ResultOf(const PickleValue& function);

}  // namespace ssd

#endif  // SSD_WEIGHTS_PICKLE_FUNCTIONS_H_
