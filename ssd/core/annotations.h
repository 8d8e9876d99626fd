#ifndef SSD_CORE_ANNOTATIONS_H_
#define SSD_CORE_ANNOTATIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ssd/core/geometry.h"

namespace ssd {

// The classes of a dataset. Label l (1..C) has name names[l - 1] and, in the dataset's own files,
// the id source_ids[l - 1] (COCO's ids have holes; elsewhere the id is the label).
struct LabelMap {
  std::vector<std::string> names;
  std::vector<int64_t> source_ids;

  int64_t num_classes() const { return static_cast<int64_t>(names.size()); }
};

// One object.
struct Annotation {
  PixelBox box;            // pixels of the image, or of the view once transforms have run
  int64_t label = 0;       // 1..C
  bool crowd = false;      // COCO's iscrowd: a region of many
  bool difficult = false;  // VOC's difficult: neither right nor wrong to find
  double area = 0;         // pixels of the original; COCO's mask area, else the box's
  int64_t id = 0;          // the dataset's
  int64_t line = 0;        // in the file it was read from, from 1; 0: none
};

// The truth of one image, exact, as evaluation needs it.
struct Annotations {
  int64_t image_id = 0;   // the dataset's
  std::string file_name;  // as the dataset names it; for messages and reports
  ImageSize size;
  std::vector<Annotation> objects;
  // Where the file it was read from first tells of the image, or states its size; from 1. 0: none.
  int64_t line = 0;
};

}  // namespace ssd

#endif  // SSD_CORE_ANNOTATIONS_H_
