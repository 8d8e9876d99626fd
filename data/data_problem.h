#ifndef DATA_DATA_PROBLEM_H_
#define DATA_DATA_PROBLEM_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ssd {

// What can be wrong with one image, object or file of a dataset. `check` lists them by these names.
enum class ProblemKind {
  // Found while annotation files are read.
  kUnreadableAnnotation,  // malformed, or a field missing or of the wrong type
  kMissingAnnotation,     // an image, or a name in an image list, without an annotation file
  kMissingImage,          // an annotation without its image
  kBoxOutside,            // reaches out of the image; it is cut
  kBoxEmpty,              // nothing of it is inside the image, or no width or height; it is dropped
  kBoxInverted,           // right of its own right edge, below its own lower edge; it is dropped
  kBoxNotFinite,          // NaN or infinite; it is dropped
  kUnknownLabel,          // a class that data.label lacks; the object is dropped
  kUnknownImage,          // an object of an image that is not listed
  kUnknownCategory,       // an object of a category that is not listed
  kDuplicateImageId,      // two images of one id or name
  kDuplicateCategory,     // two categories of one id or name
  kDuplicateAnnotationId,  // two objects of one id
  kCategoryHole,           // ids of categories are not 1..C
  kUnusedLabel,            // a class without an object
  // Found by looking at truths.
  kDuplicateBox,       // the same class and (nearly) the same box twice in an image
  kConflictingLabels,  // the same box with two classes
  kBoxTiny,            // smaller than a pixel or two of the network's view
  kBoxHuge,            // nearly the whole image
  kBoxExtremeShape,    // far longer than wide, or the reverse
  kNoObjects,          // an image without objects
  kCrowdedImage,       // far more objects than the others'
  kRareLabel,          // too few objects to learn from
  kSmallObjects,       // most objects are small in the network's view
  // Found by looking at images.
  kUnreadableImage,            // missing, truncated, not an image, too large
  kSizeMismatch,               // another size than annotated
  kRotatedByExif,              // the annotated size is that before EXIF orientation
  kDuplicateImage,             // the same content under two names
  kUniformImage,               // one colour all over
  kLeak,                       // an image of the training data that the validation data also has
  kAnnotationMissingForImage,  // a file in the folder of images that no annotation names
  kMismatchedSplits,           // classes of training and validation differ
  // Found by looking at anchors.
  kLowAnchorRecall,  // too many truths that no anchor overlaps enough
};

enum class Severity {
  kError,    // training would fail, or learn something wrong
  kWarning,  // worth a look: usually a mistake
  kNote,     // a fact worth knowing
};

struct DataProblem {
  Severity severity = Severity::kWarning;
  ProblemKind kind = ProblemKind::kUnreadableAnnotation;
  std::string file;     // of the annotation, or of the image
  int64_t line = 0;     // in `file`, from 1; 0: of the whole file
  std::string message;  // one line, without file and line; says the value
};

// Collects problems, from any thread. Does not print or judge them.
class ProblemLog {
 public:
  void Add(DataProblem problem) {
    const std::lock_guard<std::mutex> lock(mutex_);
    problems_.push_back(std::move(problem));
  }

  // What was added so far, in order of arrival; empties the log.
  std::vector<DataProblem> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(problems_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<DataProblem> problems_;
};

}  // namespace ssd

#endif  // DATA_DATA_PROBLEM_H_
