#ifndef SSD_MODEL_MODEL_SUMMARY_H_
#define SSD_MODEL_MODEL_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ssd/model/ssd_detector.h"

namespace ssd {

// One operation of a forward pass over one image: a layer with weights, or a pooling.
struct LayerSummary {
  std::string name;  // the module's, as its parameters begin ("backbone.layer1.0.conv1")
  std::string type;  // with what tells it from its kind: "conv2d 3x3/2", "batch_norm"
  std::vector<int64_t> output_shape;  // without the batch
  int64_t parameters = 0;             // frozen ones too; counted where they are first used
  // Products summed up by a convolution or matrix product, biases left out; 0 for all else. This is
  // what torchvision and most papers publish as FLOPs; counted as two operations each it is twice
  // that.
  int64_t multiply_adds = 0;
  std::optional<double> receptive_field;  // px; nullopt where it cannot be known
};

struct ModelSummary {
  std::vector<LayerSummary> layers;  // in order of execution
  int64_t parameters = 0;            // of the whole model, used or not
  int64_t multiply_adds = 0;         // of one image
};

// Runs `detector` once, on one black image in evaluation mode, and takes notes; works for
// components of any origin. The detector is as before afterwards. Feature maps and anchors are the
// detector's own to tell: levels(), anchors().
ModelSummary SummarizeModel(SsdDetector& detector);

}  // namespace ssd

#endif  // SSD_MODEL_MODEL_SUMMARY_H_
