#ifndef DATA_CHECK_IMAGE_PROBLEMS_H_
#define DATA_CHECK_IMAGE_PROBLEMS_H_

#include <cstdint>
#include <vector>

#include "data/data_problem.h"
#include "data/dataset.h"

namespace ssd {

struct ImageCheckOptions {
  // Decodes every image: finds truncated and uniform ones, and the same picture in another file
  // format or size. Without it, files are read and their headers understood; images that are in no
  // file (drawn, packed) are not looked at.
  bool decode = true;
  // 0: as many as there are cores. The result does not depend on it.
  int threads = 0;
};

struct ImageProblems {
  std::vector<DataProblem> train;
  std::vector<DataProblem> validation;  // with the leaks
  int64_t images_read = 0;              // of both; those that failed included
};

// Two pictures are near duplicates when no cell of their 16x16 grey thumbnails differs by more grey
// levels than kNearLevels: recompressing or resizing a photograph changes them by one or two, other
// pictures of the same scene differ by tens. Thumbnails of less contrast (brightest minus darkest)
// than kNearContrast are too alike to judge.
inline constexpr int kThumbnailSide = 16;
inline constexpr int kNearLevels = 4;
inline constexpr int kNearContrast = 32;

// Looks at every image of the training and the validation data (either may be null):
// kMissingImage, kUnreadableImage, kSizeMismatch, kRotatedByExif, kUniformImage in the order of the
// images, those of sizes at the line of the annotation; kDuplicateImage within a dataset and kLeak
// between them (equal bytes, equal pixels, near duplicates), each image at most once, against the
// first like it; kAnnotationMissingForImage for files beside the images that neither dataset names,
// not even one that it leaves out (Dataset::NamedImageFiles), and no file called like them
// annotates. Fails for nothing: what cannot be read is a problem.
ImageProblems FindImageProblems(const Dataset* train, const Dataset* validation,
                                const ImageCheckOptions& options = {});

}  // namespace ssd

#endif  // DATA_CHECK_IMAGE_PROBLEMS_H_
