#ifndef DATA_SAMPLE_ORDER_H_
#define DATA_SAMPLE_ORDER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/data.pb.h"
#include "data/dataset.h"

namespace ssd {

// One place in an epoch.
struct Showing {
  int64_t image = 0;  // index in the dataset
  // With seed and epoch the key of its random numbers (ssd/core/random.h); no two showings of an
  // epoch have the same, even of one image.
  uint64_t random_index = 0;
};

// Which images the epochs of a run show, and in which order: a function of (seed, epoch) alone.
// Does not know batches or processes: BatchLoader deals the places out to them.
class SampleOrder {
 public:
  // Without `shuffle`, every image once in the dataset's order. Reads all annotations if a rule is
  // set. Precondition: no rule without `shuffle`.
  // \error as ValidateSampling; InvalidArgument for a class the dataset lacks, or if no image can
  // be drawn; from the dataset's annotations.
  static absl::StatusOr<SampleOrder> Create(const Dataset& dataset, const SamplingConfig& sampling,
                                            bool shuffle, uint64_t seed);

  // Showings in an epoch, the same in each.
  int64_t size() const { return size_; }

  std::vector<Showing> Epoch(int64_t epoch) const;

 private:
  SampleOrder(int64_t images, bool shuffle, uint64_t seed)
      : images_(images), shuffle_(shuffle), seed_(seed), size_(images) {}

  int64_t images_;
  bool shuffle_;
  uint64_t seed_;
  int64_t size_;
  std::vector<int64_t> repeats_;     // the factor of each image, in units of 2^-20
  std::vector<double> weight_sums_;  // of the images up to each
};

// \error InvalidArgument naming the field, from the experiment, its value and what it may be.
absl::Status ValidateSampling(const SamplingConfig& sampling);

// How often an epoch shows each image on average; at least 1. \error from the dataset.
absl::StatusOr<std::vector<double>> RepeatFactors(const Dataset& dataset,
                                                  const RepeatFactorSampling& options);

// The weight of each image; some are above 0. \error as SampleOrder::Create.
absl::StatusOr<std::vector<double>> ImageWeights(const Dataset& dataset,
                                                 const WeightedSampling& options);

}  // namespace ssd

#endif  // DATA_SAMPLE_ORDER_H_
