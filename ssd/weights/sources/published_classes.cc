#include <iterator>

#include "ssd/weights/sources/source.h"

namespace ssd {
namespace {

// Pascal VOC's classes (VOC2012 development kit), which every SSD numbers in this order.
constexpr const char* kVoc[] = {"aeroplane",   "bicycle", "bird",  "boat",      "bottle",
                                "bus",         "car",     "cat",   "chair",     "cow",
                                "diningtable", "dog",     "horse", "motorbike", "person",
                                "pottedplant", "sheep",   "sofa",  "train",     "tvmonitor"};

// COCO's classes by their ids, which have holes (instances_val2017.json).
constexpr const char* kCoco[] = {"person",
                                 "bicycle",
                                 "car",
                                 "motorcycle",
                                 "airplane",
                                 "bus",
                                 "train",
                                 "truck",
                                 "boat",
                                 "traffic light",
                                 "fire hydrant",
                                 "",
                                 "stop sign",
                                 "parking meter",
                                 "bench",
                                 "bird",
                                 "cat",
                                 "dog",
                                 "horse",
                                 "sheep",
                                 "cow",
                                 "elephant",
                                 "bear",
                                 "zebra",
                                 "giraffe",
                                 "",
                                 "backpack",
                                 "umbrella",
                                 "",
                                 "",
                                 "handbag",
                                 "tie",
                                 "suitcase",
                                 "frisbee",
                                 "skis",
                                 "snowboard",
                                 "sports ball",
                                 "kite",
                                 "baseball bat",
                                 "baseball glove",
                                 "skateboard",
                                 "surfboard",
                                 "tennis racket",
                                 "bottle",
                                 "",
                                 "wine glass",
                                 "cup",
                                 "fork",
                                 "knife",
                                 "spoon",
                                 "bowl",
                                 "banana",
                                 "apple",
                                 "sandwich",
                                 "orange",
                                 "broccoli",
                                 "carrot",
                                 "hot dog",
                                 "pizza",
                                 "donut",
                                 "cake",
                                 "chair",
                                 "couch",
                                 "potted plant",
                                 "bed",
                                 "",
                                 "dining table",
                                 "",
                                 "",
                                 "toilet",
                                 "",
                                 "tv",
                                 "laptop",
                                 "mouse",
                                 "remote",
                                 "keyboard",
                                 "cell phone",
                                 "microwave",
                                 "oven",
                                 "toaster",
                                 "sink",
                                 "refrigerator",
                                 "",
                                 "book",
                                 "clock",
                                 "vase",
                                 "scissors",
                                 "teddy bear",
                                 "hair drier",
                                 "toothbrush"};

}  // namespace

std::vector<std::string> PublishedClasses(int64_t rows) {
  constexpr int64_t kVocRows = 21;
  constexpr int64_t kCocoRows = 81;
  constexpr int64_t kCocoIdRows = 91;
  std::vector<std::string> classes = {""};
  if (rows == kVocRows) {
    classes.insert(classes.end(), std::begin(kVoc), std::end(kVoc));
  } else if (rows == kCocoIdRows) {
    classes.insert(classes.end(), std::begin(kCoco), std::end(kCoco));
  } else if (rows == kCocoRows) {
    for (const char* const name : kCoco) {
      if (*name != '\0') classes.emplace_back(name);
    }
  } else {
    classes.clear();
  }
  return classes;
}

}  // namespace ssd
