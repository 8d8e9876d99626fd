#ifndef DATA_CHECK_DATASET_STATISTICS_H_
#define DATA_CHECK_DATASET_STATISTICS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/check/network_view.h"
#include "data/dataset.h"

namespace ssd {

// Quantiles of `count` numbers, by the nearest rank: each is one of the numbers. All 0 of none.
struct Distribution {
  int64_t count = 0;
  double mean = 0;
  double minimum = 0;
  double percentile_5 = 0;
  double percentile_25 = 0;
  double median = 0;
  double percentile_75 = 0;
  double percentile_95 = 0;
  double maximum = 0;
};

// COCO's classes of size by area in pixels: small below 32^2, medium below 96^2, large.
inline constexpr int kSizeClasses = 3;
inline constexpr std::array<const char*, kSizeClasses> kSizeClassNames = {"small", "medium",
                                                                          "large"};
// 0 small, 1 medium, 2 large.
int SizeClassOf(double area);

// Bins of width / height, half an octave each: bin 0 is all below 2^-3, bin i in [1, 13) is from
// AspectRatioEdge(i - 1) to AspectRatioEdge(i), bin 13 all from 2^3.
inline constexpr int kAspectRatioBins = 14;
// 2^(edge / 2 - 3), of `edge` in [0, kAspectRatioBins - 1).
double AspectRatioEdge(int edge);
// log2(width / height) in the middle of a bin; of the first and the last, which have no end, as if
// they were half an octave too.
double AspectRatioMiddle(int bin);

// Cells a side of the map of positions.
inline constexpr int kPositionCells = 16;

// Sides, areas and shapes of boxes in pixels of the original or of the network's view.
struct BoxStatistics {
  Distribution width;
  Distribution height;
  Distribution area;                                      // the box's own
  std::array<int64_t, kAspectRatioBins> aspect_ratios{};  // boxes by bin
  std::array<int64_t, kSizeClasses> sizes{};  // boxes by size class (by Annotation::area)
};

// Objects of one class, of one size class, or all.
struct ObjectStatistics {
  std::string name;     // of the class or size class; empty for all
  int64_t images = 0;   // with at least one such object that is no crowd
  int64_t objects = 0;  // without crowds; only these count below
  int64_t crowds = 0;
  int64_t difficult = 0;  // of `objects`
  BoxStatistics original;
  BoxStatistics view;
  // Boxes by the cell of the image that holds their centre, row by row from the top.
  std::array<int64_t, kPositionCells * kPositionCells> positions{};
};

struct DatasetStatistics {
  int64_t images = 0;
  int64_t images_without_objects = 0;  // crowds do not count as objects here
  Distribution image_width;
  Distribution image_height;
  Distribution objects_per_image;          // over all images
  std::vector<int64_t> images_by_objects;  // images with 0, 1, 2, ... objects; up to the most
  ObjectStatistics all;
  std::array<ObjectStatistics, kSizeClasses> sizes;  // by the size in the original
  std::vector<ObjectStatistics> classes;             // [C], label 1 first
  // [C * C], row by row: images that hold an object of both classes; on the diagonal, of the one.
  std::vector<int64_t> co_occurrence;
};

// Statistics of the truths, without reading pixels. \error from the dataset.
absl::StatusOr<DatasetStatistics> ComputeDatasetStatistics(const Dataset& dataset,
                                                           const NetworkView& view);

}  // namespace ssd

#endif  // DATA_CHECK_DATASET_STATISTICS_H_
