#ifndef DATA_CHECK_DATASET_PROBLEMS_H_
#define DATA_CHECK_DATASET_PROBLEMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/check/dataset_statistics.h"
#include "data/check/network_view.h"
#include "data/data_problem.h"
#include "data/dataset.h"

namespace ssd {

// Two boxes of an image with a larger IoU are one object's: boxes of neighbours that overlap much,
// cells under a microscope, stay below.
inline constexpr double kSameBoxIou = 0.9;
// A side below this many pixels of the network's view is tiny: nothing is left to see.
inline constexpr double kTinySide = 2;
// A box whose width and height are both at least this share of the image's is huge.
inline constexpr double kHugeShare = 0.99;
// Boxes longer than this many times their other side, in the view, are of extreme shape.
inline constexpr double kExtremeAspectRatio = 20;
// An image is crowded with more objects than both of these: a multiple of the median of images that
// have objects, and a number.
inline constexpr double kCrowdedTimesMedian = 10;
inline constexpr int64_t kCrowdedObjects = 100;
// A class with fewer objects in the training data is rare.
inline constexpr int64_t kRareObjects = 10;
// Objects are small where more than this share of them is, as COCO says it (dataset_statistics.h),
// in the network's view.
inline constexpr double kMostSmall = 0.5;

// What looks wrong in the truths of `dataset`: kDuplicateBox, kConflictingLabels, kBoxTiny,
// kBoxHuge, kBoxExtremeShape, kNoObjects in the order of its images and objects, then
// kCrowdedImage; crowds are no objects. Reads no pixels. \error from the dataset.
absl::StatusOr<std::vector<DataProblem>> FindTruthProblems(const Dataset& dataset,
                                                           const NetworkView& view);

// Classes of the training data that cannot be learnt: kUnusedLabel where the class is declared, if
// that is known, and kRareLabel at its first object. `dataset` is what `statistics` are of.
std::vector<DataProblem> FindClassProblems(const Dataset& dataset,
                                           const DatasetStatistics& statistics);

// kSmallObjects, a note, where it is so. `dataset` is what `statistics` are of.
std::vector<DataProblem> FindSizeProblems(const Dataset& dataset,
                                          const DatasetStatistics& statistics);

// kMismatchedSplits: classes, by name, that only one of the two has, or has objects of; belongs to
// the validation data.
std::vector<DataProblem> CompareSplits(const DatasetStatistics& train,
                                       const DatasetStatistics& validation,
                                       const Dataset& validation_dataset);

// The file that all truths of `dataset` are in, or the folder that is above all their files; empty
// without files. For problems of the whole dataset.
std::string AnnotationRoot(const Dataset& dataset);

}  // namespace ssd

#endif  // DATA_CHECK_DATASET_PROBLEMS_H_
