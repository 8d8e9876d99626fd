#ifndef DATA_VOC_XML_H_
#define DATA_VOC_XML_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "ssd/core/geometry.h"

namespace ssd {

struct VocObject {
  std::string class_name;
  PixelBox box;  // xmin - 1, ymin - 1, xmax, ymax; may be NaN or infinite
  bool difficult = false;
  int64_t line = 0;  // of <object>, from 1
};

// What in the file is not as it must be, and at which line; 0: of the whole file.
struct VocFault {
  int64_t line = 0;
  std::string message;
};

// What is read of an annotation file of Pascal VOC.
struct VocAnnotation {
  std::string file_name;           // <filename>, or empty
  ImageSize size;                  // a side that is not stated: 0
  int64_t size_line = 0;           // of <size>, from 1; 0: there is none
  std::vector<VocObject> objects;  // those without fault
  std::vector<VocFault> faults;
  bool is_readable = true;  // false: nothing was read, and a fault says why
};

// Reads the text of an XML file; looks at no other file.
VocAnnotation ParseVocXml(absl::string_view xml);

}  // namespace ssd

#endif  // DATA_VOC_XML_H_
