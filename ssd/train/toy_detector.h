#ifndef SSD_TRAIN_TOY_DETECTOR_H_
#define SSD_TRAIN_TOY_DETECTOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "ssd/core/batch_source.h"
#include "ssd/model/ssd_detector.h"

namespace ssd {

// For tests of training: a detector of two convolutions for 64 x 64 images, whose components are
// registered from outside, and its data. Learns little, quickly.
struct ToyOptions {
  uint64_t seed = 1;
  bool batch_norm = true;
  double dropout = 0;
  bool keep_all = false;  // every box is a detection, in the anchors' order
  // Throws in that layout, as oneDNN does where it has no kernel.
  bool refuse_channels_last = false;
};

std::shared_ptr<SsdDetector> MakeToyDetector(const ToyOptions& options);

// Classes of the toy. An object of one of the last three makes the loss, or only the gradient, of
// its batch no finite number.
inline constexpr int64_t kToyClasses = 5;
inline constexpr int64_t kPoisonsClassification = 3;
inline constexpr int64_t kPoisonsLocalization = 4;
inline constexpr int64_t kPoisonsGradient = 5;

// Batches that are a function of (epoch, batch), as the interface demands. Image ids count from 0
// over all epochs.
class ToyBatches final : public BatchSource {
 public:
  ToyBatches(int64_t batches_per_epoch, int64_t batch_size)
      : batches_per_epoch_(batches_per_epoch), batch_size_(batch_size) {}

  // By index over all epochs: the class of that batch's first object.
  std::map<int64_t, int64_t> poison;
  // Called with the index over all epochs before a batch is handed out; an error is passed on.
  std::function<absl::Status(int64_t index)> before_batch;

  int64_t batches_per_epoch() const override { return batches_per_epoch_; }
  absl::Status Start(int64_t epoch, int64_t first_batch) override;
  absl::StatusOr<std::optional<Batch>> Next() override;

 private:
  int64_t batches_per_epoch_;
  int64_t batch_size_;
  int64_t epoch_ = 0;
  int64_t next_ = 0;
};

}  // namespace ssd

#endif  // SSD_TRAIN_TOY_DETECTOR_H_
