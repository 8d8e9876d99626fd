#ifndef DATA_YOLO_TEXT_H_
#define DATA_YOLO_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ssd/core/geometry.h"

namespace ssd {

struct YoloObject {
  int64_t class_index = 0;  // from 0
  PixelBox box;             // shares of the image's width and height; may be NaN or infinite
  int64_t line = 0;         // from 1
};

// What in the file is not as it must be, and at which line.
struct YoloFault {
  int64_t line = 0;
  std::string message;
};

struct YoloLabels {
  std::vector<YoloObject> objects;  // those without fault
  std::vector<YoloFault> faults;
};

// Reads the text of a label file: a line "class cx cy w h" for each object, or, for a polygon of
// three corners or more, "class x y x y x y ...", of which the box around it is taken (with an odd
// count of numbers above five; another count is a fault).
YoloLabels ParseYoloLabels(absl::string_view text);

// Reads class names, class 0 first. `name` is the file's: if it ends in .yaml or .yml, the names
// are those of the key `names` at the left margin: [a, b], {0: a, 1: b}, or on the lines below it
// `- a` or `0: a` each. Names may be in quotes. The rest of the file is not looked at; this is no
// reader of YAML. Any other file has one name a line. \error InvalidArgument with file and line.
absl::StatusOr<std::vector<std::string>> ParseYoloNames(absl::string_view text,
                                                        const std::string& name);

}  // namespace ssd

#endif  // DATA_YOLO_TEXT_H_
