#ifndef EXPERIMENTS_RUN_DESCRIPTION_H_
#define EXPERIMENTS_RUN_DESCRIPTION_H_

#include <string>

#include "absl/status/statusor.h"
#include "experiments/experiment.pb.h"

namespace ssd {

// What `describe` tells about an experiment's network.
struct Description {
  std::string text;  // for people: layers, feature maps, anchors, totals, the resolved config
  // num_classes, num_anchors, anchors_per_level, anchors_per_cell, feature_maps, parameters, flops,
  // layers, config
  std::string json;
};

// Builds the network of `experiment` and describes it. The number of classes is that of data.label
// or, only where that is empty, of data.train, which is then opened. Where anchors_file is not
// empty, writes the default boxes there, as WriteAnchorFile.
// \error naming field or file.
absl::StatusOr<Description> DescribeExperiment(const Experiment& experiment,
                                               const std::string& anchors_file = "");

}  // namespace ssd

#endif  // EXPERIMENTS_RUN_DESCRIPTION_H_
