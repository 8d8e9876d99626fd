#include "ssd/model/multibox_head.h"

#include <ATen/ops/cat.h>
#include <torch/nn/modules/container/modulelist.h>

#include "ssd/core/logging.h"
#include "ssd/layers/convolution.h"

namespace ssd {
namespace {

// [B, shapes * values, h, w] to [B, h * w * shapes, values].
Tensor ByAnchor(const Tensor& map, int64_t values) {
  return map.permute({0, 2, 3, 1}).reshape({map.size(0), -1, values});
}

}  // namespace

MultiboxHead::MultiboxHead(absl::Span<const FeatureSpec> levels,
                           absl::Span<const int64_t> anchors_per_cell, int64_t num_logits,
                           int64_t kernel)
    : num_logits_(num_logits) {
  CHECK(!levels.empty());
  CHECK_EQ(levels.size(), anchors_per_cell.size());
  CHECK_GT(num_logits, 0);
  CHECK_EQ(kernel % 2, 1);
  const auto add_convolutions = [&](const char* name, int64_t values) {
    torch::nn::ModuleList list;
    std::vector<torch::nn::Conv2d> convolutions;
    for (size_t i = 0; i < levels.size(); ++i) {
      CHECK_GT(anchors_per_cell[i], 0) << "level " << i + 1;
      convolutions.push_back(MakeConvolution(levels[i].channels, anchors_per_cell[i] * values,
                                             {kernel, 1, kernel / 2, 1}, /*bias=*/true));
      InitXavierUniform(*convolutions.back());
      list->push_back(convolutions.back());
    }
    register_module(name, list);
    return convolutions;
  };
  box_codes_ = add_convolutions("box_codes", 4);
  class_logits_ = add_convolutions("class_logits", num_logits);
}

Predictions MultiboxHead::Forward(const std::vector<Tensor>& maps) {
  CHECK_EQ(maps.size(), box_codes_.size());
  std::vector<Tensor> box_codes;
  std::vector<Tensor> class_logits;
  for (size_t i = 0; i < maps.size(); ++i) {
    box_codes.push_back(ByAnchor(box_codes_[i]->forward(maps[i]), 4));
    class_logits.push_back(ByAnchor(class_logits_[i]->forward(maps[i]), num_logits_));
  }
  return {at::cat(box_codes, 1), at::cat(class_logits, 1)};
}

}  // namespace ssd
