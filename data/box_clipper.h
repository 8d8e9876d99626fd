#ifndef DATA_BOX_CLIPPER_H_
#define DATA_BOX_CLIPPER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "ssd/core/annotations.h"

namespace ssd {

// Cuts the boxes of a dataset to their images. A box of which nothing is left (outside, inverted,
// of no width or height) is no truth that could be learned: it is to be dropped, and one warning
// for the whole dataset counts such boxes. For datasets read from files; not thread-safe.
class BoxClipper {
 public:
  // Cuts `box`; false if nothing is left. `where` names the first such box in the warning.
  bool Clip(ImageSize image, absl::string_view where, PixelBox& box);

  // Warns if boxes were dropped. `dataset` starts the message.
  void LogDropped(absl::string_view dataset) const;

 private:
  int64_t boxes_ = 0;
  int64_t dropped_ = 0;
  std::string first_dropped_;
};

}  // namespace ssd

#endif  // DATA_BOX_CLIPPER_H_
