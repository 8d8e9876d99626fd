#include "data/box_clipper.h"

#include "absl/strings/str_cat.h"
#include "ssd/core/geometry.h"
#include "ssd/core/logging.h"

namespace ssd {

bool BoxClipper::Clip(ImageSize image, absl::string_view where, PixelBox& box) {
  ++boxes_;
  const PixelBox given = box;
  box = ::ssd::Clip(box, image);
  if (box.width() > 0 && box.height() > 0) return true;
  ++dropped_;
  if (first_dropped_.empty()) {
    first_dropped_ = absl::StrCat(where, ": (", given.x0, ", ", given.y0, ") to (", given.x1, ", ",
                                  given.y1, ") in an image of ", image.width, "x", image.height);
  }
  return false;
}

void BoxClipper::LogDropped(absl::string_view dataset) const {
  if (dropped_ == 0) return;
  LOG(WARNING) << absl::StrCat(
      dataset, ": dropped ", dropped_, " of ", boxes_,
      " boxes that are empty or outside their image; the first: ", first_dropped_);
}

}  // namespace ssd
