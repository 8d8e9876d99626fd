#ifndef EXPERIMENTS_TRAINED_MODEL_H_
#define EXPERIMENTS_TRAINED_MODEL_H_

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"
#include "ssd/core/annotations.h"
#include "ssd/model/ssd_detector.h"
#include "ssd/train/compute_format.h"

namespace ssd {

// A model file's network, ready to find what an experiment's evaluation finds.
struct TrainedModel {
  std::shared_ptr<SsdDetector> detector;  // on `device`, in `format`, in evaluation mode
  LabelMap labels;
  c10::Device device = c10::kCPU;
  ComputeFormat format;
};

// The model file `weights` for the images that `experiment` makes, in its precision and layout, of
// which the log tells; where these are AUTO, in those that the model was trained and judged in.
// \error as LoadModel; InvalidArgument if its input is not of the experiment's size.
absl::StatusOr<TrainedModel> LoadTrainedModel(const Experiment& experiment,
                                              const std::string& weights, c10::Device device);

}  // namespace ssd

#endif  // EXPERIMENTS_TRAINED_MODEL_H_
