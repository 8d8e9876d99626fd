#ifndef SSD_MODEL_MULTIBOX_HEAD_H_
#define SSD_MODEL_MULTIBOX_HEAD_H_

#include <torch/nn/modules/conv.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "ssd/core/types.h"
#include "ssd/layers/convolution_block.h"
#include "ssd/model/model.pb.h"

namespace ssd {

// Predicts box codes and class logits for every anchor of every level: for each level one k x k
// convolution for the codes and one for the logits (arXiv:1512.02325, section 2.1); separable or
// shared by all levels as HeadConfig has it. Does not know where the anchors are, and applies
// neither softmax, sigmoid nor decoding.
//
// Its parameters are named box_codes.LEVEL.{weight,bias} and class_logits.LEVEL.{weight,bias}; if
// separable the depthwise convolution is LEVEL.0.0, its norm LEVEL.0.1 and the other convolution
// LEVEL.1, as in torchvision's SSDLite. Shared convolutions are those of LEVEL 0.
class MultiboxHead : public torch::nn::Module {
 public:
  // The logits of an anchor: C + 1, or C of sigmoids.
  static int64_t LogitsPerAnchor(const HeadConfig& config, int64_t num_classes);

  // anchors_per_cell has an entry > 0 for each level. Precondition: `config` is valid; if shared,
  // levels have equal channels and anchors_per_cell equal entries.
  MultiboxHead(absl::Span<const FeatureSpec> levels, absl::Span<const int64_t> anchors_per_cell,
               int64_t num_classes, const HeadConfig& config);

  // maps: [B, c_k, h_k, w_k] for each level. Returns the predictions in the anchors' order: level,
  // row, column, shape. A convolution's output is not copied for that where its channels are
  // innermost in memory.
  Predictions Forward(const std::vector<Tensor>& maps);

 private:
  // What makes a level's map to numbers of its anchors.
  struct Predictor {
    std::shared_ptr<ConvolutionBlock> depthwise;  // null unless separable
    torch::nn::Conv2d convolution;
  };

  // One for each level, or one if shared; registered as `name`. `values` an anchor.
  std::vector<Predictor> AddPredictors(const std::string& name,
                                       absl::Span<const FeatureSpec> levels,
                                       absl::Span<const int64_t> anchors_per_cell, int64_t values,
                                       const HeadConfig& config);

  int64_t num_logits_;
  size_t num_levels_;
  std::vector<Predictor> box_codes_;     // 4 channels an anchor
  std::vector<Predictor> class_logits_;  // num_logits_ channels an anchor
};

}  // namespace ssd

#endif  // SSD_MODEL_MULTIBOX_HEAD_H_
