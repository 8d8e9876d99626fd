#ifndef SSD_TRAIN_AUTO_PRECISION_H_
#define SSD_TRAIN_AUTO_PRECISION_H_

#include <c10/core/Device.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"

namespace ssd {

// How fast one format trained.
struct FormatTiming {
  ComputeFormat format;
  double images_per_second = 0;
};

struct MeasuredFormat {
  ComputeFormat format;               // the choice
  std::vector<FormatTiming> timings;  // empty when the config left nothing open

  // For the log: "trains in FP32, CHANNELS_LAST (24.1 img/s; FP32, NCHW: 19.8)".
  std::string Summary() const;
};

// Settles AUTO and AUTO_FORMAT by timing forward and backward passes of `detector` on made-up
// images, up to `batch_size` at a time; takes a few steps' time. What the config states is kept.
// BF16 is not tried on processors without instructions for it. Ties, within 5 %, go to FP32 and
// NCHW.
//
// Afterwards the detector is placed on `device` in the chosen layout and without gradients;
// weights, buffers and torch's random generators are as before. The choice can differ from one run
// to the next, and bits with it, so write it into the run's config.
MeasuredFormat MeasureFormat(SsdDetector& detector, const TrainerConfig& config, int64_t batch_size,
                             at::Device device);

}  // namespace ssd

#endif  // SSD_TRAIN_AUTO_PRECISION_H_
