#ifndef SSD_MODEL_MULTIBOX_HEAD_H_
#define SSD_MODEL_MULTIBOX_HEAD_H_

#include <torch/nn/modules/conv.h>

#include <vector>

#include "absl/types/span.h"
#include "ssd/core/types.h"

namespace ssd {

// Predicts box codes and class logits for every anchor of every level: for each level one k x k
// convolution for the codes and one for the logits (arXiv:1512.02325, section 2.1). Does not know
// where the anchors are, and applies neither softmax nor decoding.
//
// Its parameters are named box_codes.LEVEL.{weight,bias} and class_logits.LEVEL.{weight,bias}.
class MultiboxHead : public torch::nn::Module {
 public:
  // anchors_per_cell has an entry > 0 for each level; num_logits are the logits of an anchor;
  // kernel is odd. Xavier-uniform weights, zero biases.
  MultiboxHead(absl::Span<const FeatureSpec> levels, absl::Span<const int64_t> anchors_per_cell,
               int64_t num_logits, int64_t kernel);

  // maps: [B, c_k, h_k, w_k] for each level. Returns the predictions in the anchors' order: level,
  // row, column, shape. A convolution's output is not copied for that where its channels are
  // innermost in memory.
  Predictions Forward(const std::vector<Tensor>& maps);

 private:
  int64_t num_logits_;
  std::vector<torch::nn::Conv2d> box_codes_;     // 4 channels an anchor
  std::vector<torch::nn::Conv2d> class_logits_;  // num_logits_ channels an anchor
};

}  // namespace ssd

#endif  // SSD_MODEL_MULTIBOX_HEAD_H_
