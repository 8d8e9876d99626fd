#include <torch/nn/modules/conv.h>

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/backbones/backbone.h"
#include "ssd/backbones/frozen_stages.h"
#include "ssd/core/option_check.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/freeze.h"
#include "ssd/layers/window.h"

namespace ssd {
namespace {

// Beyond what anyone tries first.
constexpr double kMaxWidth = 512;
constexpr Window kWindow = {3, 2, 1, 1};
constexpr int kLayers = 4;
constexpr size_t kFirstOutput = 2;

// Four strided convolutions with ReLU: `backbone { tiny {} }`. Builds and runs at once, and is the
// shortest example of a backbone. Its layers are called conv1 to conv4; Kaiming-normal weights.
class Tiny final : public Backbone {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const TinyOptions& options,
                                                          const BackboneContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("backbone.tiny.width", options.width(), 1, kMaxWidth));
    if (options.has_frozen_stages()) {
      SSD_RETURN_IF_ERROR(CheckFrozenStages("tiny", options.frozen_stages(), kLayers - 1));
    }
    return std::make_unique<Tiny>(options);
  }

  explicit Tiny(const TinyOptions& options) : width_(options.width()) {
    int64_t in_channels = 3;
    for (int i = 0; i < kLayers; ++i) {
      const int64_t channels = width_ << i;
      convolutions_.push_back(
          register_module(absl::StrCat("conv", i + 1),
                          MakeConvolution(in_channels, channels, kWindow, /*bias=*/true)));
      InitKaimingNormal(*convolutions_.back());
      if (options.has_frozen_stages() && i <= options.frozen_stages()) {
        Freeze(*convolutions_.back());
      }
      in_channels = channels;
    }
  }

  std::vector<Tensor> Forward(const Tensor& images) override {
    std::vector<Tensor> outputs;
    Tensor map = images;
    for (size_t i = 0; i < convolutions_.size(); ++i) {
      map = convolutions_[i]->forward(map).relu_();
      if (i >= kFirstOutput) outputs.push_back(map);
    }
    return outputs;
  }

  std::vector<FeatureSpec> OutputSpecs(ImageSize size) const override {
    std::vector<FeatureSpec> outputs;
    FeatureSpec spec = ImageSpec(size);
    for (size_t i = 0; i < convolutions_.size(); ++i) {
      spec = MoveWindow(kWindow, spec, width_ << i);
      if (i >= kFirstOutput) outputs.push_back(spec);
    }
    return outputs;
  }

 private:
  int64_t width_;
  std::vector<torch::nn::Conv2d> convolutions_;
};

SSD_REGISTER_BACKBONE(TinyOptions, Tiny);

}  // namespace
}  // namespace ssd
