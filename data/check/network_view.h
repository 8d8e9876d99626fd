#ifndef DATA_CHECK_NETWORK_VIEW_H_
#define DATA_CHECK_NETWORK_VIEW_H_

#include <functional>

#include "ssd/core/geometry.h"

namespace ssd {

// What the network is shown of an image of size `original`, without random changes.
using NetworkView = std::function<Geometry(ImageSize original)>;

// The whole image warped to `size`, as `resize {}` does.
inline NetworkView WarpedTo(ImageSize size) {
  return [size](ImageSize original) { return Geometry::Identity(original).Resized(size); };
}

}  // namespace ssd

#endif  // DATA_CHECK_NETWORK_VIEW_H_
