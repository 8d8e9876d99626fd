#include <ATen/ops/max_pool2d.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/backbones/backbone.h"
#include "ssd/backbones/blank_maps.h"
#include "ssd/backbones/frozen_stages.h"
#include "ssd/core/option_check.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/freeze.h"
#include "ssd/layers/l2_norm.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"

namespace ssd {
namespace {

// A stage of column D of the paper's table 1, and the pooling behind it. Caffe rounds every pooling
// up; of those on 300 or 512 px only pool3, on 75 cells, has anything to round, and torchvision
// rounds that one alone.
struct VggStage {
  int convolutions;
  int64_t widths;  // channels in multiples of the first stage's
  Window pooling;
};

constexpr std::array<VggStage, 5> kStages = {{
    {2, 1, {2, 2, 0, 1}},
    {2, 2, {2, 2, 0, 1}},
    {3, 4, {2, 2, 0, 1, /*ceil_mode=*/true}},
    {3, 8, {2, 2, 0, 1}},
    {3, 8, {3, 1, 1, 1}},
}};
constexpr size_t kConv4 = 3;

// Eight times the published 64.
constexpr double kMaxWidth = 512;

constexpr Window kConvolution = {3, 1, 1, 1};
constexpr Window kFc6 = {3, 1, 6, 6};
constexpr Window kFc7 = {1, 1, 0, 1};
constexpr int64_t kFcWidths = 16;

std::optional<NormKind> KindOf(Vgg16Options::Norm norm) {
  switch (norm) {
    case Vgg16Options::NONE:
      return std::nullopt;
    case Vgg16Options::BATCH_NORM:
      return NormKind::kBatch;
    case Vgg16Options::FROZEN_BATCH_NORM:
      return NormKind::kFrozenBatch;
    case Vgg16Options::GROUP_NORM:
      return NormKind::kGroup;
  }
  return std::nullopt;
}

// VGG-16 (arXiv:1409.1556) with SSD's changes (Liu et al., arXiv:1512.02325, section 3):
// `backbone { vgg16 {} }`. Its layers are called features.N with torchvision's numbers (vgg16, or
// vgg16_bn with a norm), which go on to fc6 and fc7 as amdegroot's vgg.N do: without a norm 31 and
// 33. The L2 normalisation is Caffe's conv4_3_norm. Convolutions start Kaiming-normal, fc6 and fc7
// Xavier-uniform.
class Vgg16 final : public Backbone {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const Vgg16Options& options,
                                                          const BackboneContext& context) {
    SSD_RETURN_IF_ERROR(CheckRange("backbone.vgg16.width", options.width(), 1, kMaxWidth));
    const std::optional<NormKind> kind = KindOf(options.norm());
    for (int64_t channels = options.width(); kind && channels <= options.width() * kFcWidths;
         channels *= 2) {
      if (!Norm::Fits(*kind, channels)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "backbone.vgg16.width: ", options.width(),
            " does not go with norm: GROUP_NORM, because ", channels,
            " channels are no multiple of 32; use a power of two or a multiple of 32"));
      }
    }
    SSD_RETURN_IF_ERROR(CheckOption(options.l2_norm_scale() >= 0, "backbone.vgg16.l2_norm_scale",
                                    options.l2_norm_scale(), ">= 0"));
    if (options.has_frozen_stages()) {
      SSD_RETURN_IF_ERROR(
          CheckFrozenStages("vgg16", options.frozen_stages(), static_cast<int>(kStages.size())));
    }
    auto backbone = std::make_unique<Vgg16>(options);
    if (kind) SSD_RETURN_IF_ERROR(backbone->CheckNorms(*kind, context.input));
    return absl::StatusOr<std::unique_ptr<Backbone>>(std::move(backbone));
  }

  explicit Vgg16(const Vgg16Options& options)
      : norm_(KindOf(options.norm())),
        features_(register_module("features", std::make_shared<torch::nn::Module>())) {
    int64_t channels = 3;
    for (size_t i = 0; i < kStages.size(); ++i) {
      for (int j = 0; j < kStages[i].convolutions; ++j) {
        const int64_t out_channels = options.width() * kStages[i].widths;
        stages_[i].push_back(AddLayer(channels, out_channels, kConvolution));
        InitKaimingNormal(*stages_[i].back().convolution);
        channels = out_channels;
      }
      ++next_name_;  // the pooling
    }
    for (const Window& window : {kFc6, kFc7}) {
      fc_.push_back(AddLayer(channels, options.width() * kFcWidths, window));
      InitXavierUniform(*fc_.back().convolution);
      channels = options.width() * kFcWidths;
    }
    if (options.l2_norm_scale() > 0) {
      conv4_3_norm_ = register_module(
          "conv4_3_norm", std::make_shared<L2Norm>(options.width() * kStages[kConv4].widths,
                                                   options.l2_norm_scale()));
    }
    for (int i = 0; i < options.frozen_stages(); ++i) {
      for (Layer& layer : stages_[static_cast<size_t>(i)]) {
        Freeze(*layer.convolution);
        if (layer.norm != nullptr) Freeze(*layer.norm);
      }
    }
  }

  std::vector<Tensor> Forward(const Tensor& images) override {
    std::vector<Tensor> outputs;
    Tensor map = images;
    for (size_t i = 0; i < kStages.size(); ++i) {
      for (Layer& layer : stages_[i]) map = Apply(layer, map);
      if (i == kConv4) {
        outputs.push_back(conv4_3_norm_ == nullptr ? map : conv4_3_norm_->Forward(map));
      }
      const Window& pooling = kStages[i].pooling;
      map = at::max_pool2d(map, pooling.kernel, pooling.stride, pooling.padding, pooling.dilation,
                           pooling.ceil_mode);
    }
    for (Layer& layer : fc_) map = Apply(layer, map);
    outputs.push_back(map);
    return outputs;
  }

  std::vector<FeatureSpec> OutputSpecs(ImageSize size) const override {
    std::vector<FeatureSpec> outputs;
    FeatureSpec spec = ImageSpec(size);
    for (size_t i = 0; i < kStages.size(); ++i) {
      for (const Layer& layer : stages_[i]) spec = MoveWindow(layer.window, spec, layer.channels);
      if (i == kConv4) outputs.push_back(spec);
      spec = MoveWindow(kStages[i].pooling, spec, spec.channels);
    }
    for (const Layer& layer : fc_) spec = MoveWindow(layer.window, spec, layer.channels);
    outputs.push_back(spec);
    return outputs;
  }

 private:
  // A convolution, its norm, if any, and ReLU.
  struct Layer {
    torch::nn::Conv2d convolution;
    std::shared_ptr<Norm> norm;
    Window window;
    int64_t channels;
  };

  absl::Status CheckNorms(NormKind norm, ImageSize input) const {
    FeatureSpec spec = ImageSpec(input);
    const auto check = [&](const Layer& layer) {
      spec = MoveWindow(layer.window, spec, layer.channels);
      return CheckNormLeavesMap("vgg16", norm, spec, input);
    };
    for (size_t i = 0; i < kStages.size(); ++i) {
      for (const Layer& layer : stages_[i]) SSD_RETURN_IF_ERROR(check(layer));
      spec = MoveWindow(kStages[i].pooling, spec, spec.channels);
    }
    for (const Layer& layer : fc_) SSD_RETURN_IF_ERROR(check(layer));
    return absl::OkStatus();
  }

  // torchvision counts convolutions, norms, ReLUs and poolings.
  Layer AddLayer(int64_t in_channels, int64_t out_channels, const Window& window) {
    Layer layer = {MakeConvolution(in_channels, out_channels, window, /*bias=*/true), nullptr,
                   window, out_channels};
    features_->register_module(absl::StrCat(next_name_++), layer.convolution);
    if (norm_) {
      layer.norm = features_->register_module(absl::StrCat(next_name_++),
                                              std::make_shared<Norm>(*norm_, out_channels));
    }
    ++next_name_;
    return layer;
  }

  static Tensor Apply(Layer& layer, const Tensor& input) {
    Tensor map = layer.convolution->forward(input);
    if (layer.norm != nullptr) map = layer.norm->Forward(map);
    return map.relu_();
  }

  std::optional<NormKind> norm_;
  std::shared_ptr<torch::nn::Module> features_;
  int next_name_ = 0;
  std::array<std::vector<Layer>, kStages.size()> stages_;
  std::vector<Layer> fc_;
  std::shared_ptr<L2Norm> conv4_3_norm_;  // null: none
};

SSD_REGISTER_BACKBONE(Vgg16Options, Vgg16);

}  // namespace
}  // namespace ssd
