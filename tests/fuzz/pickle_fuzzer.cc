// Pickles: ssd/weights/pickle.h.

#include <cstddef>
#include <cstdint>

#include "ssd/weights/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<ssd::Pickle> pickle = ssd::Pickle::Parse(bytes, "fuzz.pkl");
  // Whatever it says, it has read no further than the bytes go.
  if (pickle.ok() && pickle->end() > size) __builtin_trap();
  return 0;
}
