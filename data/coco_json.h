#ifndef DATA_COCO_JSON_H_
#define DATA_COCO_JSON_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/geometry.h"

namespace ssd {

// What is read of a file in COCO's instances format, in the file's order. Lines count from 1.
struct CocoImage {
  int64_t id = 0;
  std::string file_name;
  ImageSize size;  // a side that is missing, null or 0: 0
  int64_t line = 0;
};
struct CocoAnnotation {
  int64_t id = 0;
  int64_t image_id = 0;
  int64_t category_id = 0;
  PixelBox box;     // x, y, x + w, y + h; may be NaN or infinite
  double area = 0;  // 0: not stated
  int64_t line = 0;
  bool crowd = false;
};
struct CocoCategory {
  int64_t id = 0;
  std::string name;
  int64_t line = 0;
};
struct CocoInstances {
  std::vector<CocoImage> images;
  std::vector<CocoAnnotation> annotations;
  std::vector<CocoCategory> categories;
  // The file names of images that are left out, of those that have one.
  std::vector<std::string> left_out;
};

// Hears of an image, annotation or category that lacks a field or has one of the wrong type, and is
// left out. An error ends the reading with that error.
using CocoFault = std::function<absl::Status(int64_t line, const std::string& message)>;

// Reads the file in one pass and bounded memory beside the result: what is not kept (segmentation,
// captions, licences) is skipped, and not checked beyond brackets and quotes. Joins nothing: ids
// may be double or refer to nothing. The lists may come in any order.
// \error naming the file: NotFound, PermissionDenied, Internal; InvalidArgument with line and
// column for what is no JSON, or no object of lists.
absl::StatusOr<CocoInstances> ReadCocoJson(const std::string& path, const CocoFault& fault);

// The same from memory, `chunk_bytes` at a time; `name` starts the messages.
absl::StatusOr<CocoInstances> ParseCocoJson(absl::string_view json, const std::string& name,
                                            const CocoFault& fault, size_t chunk_bytes = 1 << 18);

}  // namespace ssd

#endif  // DATA_COCO_JSON_H_
