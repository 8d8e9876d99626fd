#include <ATen/ops/max_pool2d.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/backbones/backbone.h"
#include "ssd/backbones/blank_maps.h"
#include "ssd/backbones/frozen_stages.h"
#include "ssd/core/option_check.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/freeze.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"

namespace ssd {
namespace {

// What a depth means: table 1 of arXiv:1512.03385.
struct Architecture {
  int depth;
  bool bottleneck;
  std::array<int, 4> blocks;  // in layer1 to layer4
};

constexpr std::array<Architecture, 4> kArchitectures = {{
    {18, false, {2, 2, 2, 2}},
    {34, false, {3, 4, 6, 3}},
    {50, true, {3, 4, 6, 3}},
    {101, true, {3, 4, 23, 3}},
}};

// Output channels of a bottleneck block, in multiples of its inner channels.
constexpr int64_t kExpansion = 4;

// Eight times the published 64: ResNet-101 then has 11 GB of weights.
constexpr double kMaxWidth = 512;

constexpr Window kStemConvolution = {7, 2, 3, 1};
constexpr Window kStemPooling = {3, 2, 1, 1};

NormKind KindOf(ResNetOptions::Norm norm) {
  switch (norm) {
    case ResNetOptions::BATCH_NORM:
      return NormKind::kBatch;
    case ResNetOptions::FROZEN_BATCH_NORM:
      return NormKind::kFrozenBatch;
    case ResNetOptions::GROUP_NORM:
      return NormKind::kGroup;
  }
  return NormKind::kBatch;
}

// relu(shortcut(x) + branch(x)); the branch is two 3x3 convolutions, or 1x1, 3x3, 1x1 in a
// bottleneck. The first 3x3 convolution carries the stride (torchvision's "v1.5"; the paper's
// bottleneck has it in the first 1x1).
class ResidualBlock final : public torch::nn::Module {
 public:
  struct Options {
    int64_t in_channels;
    int64_t channels;  // inner
    int64_t stride;
    bool bottleneck;
    NormKind norm;
    bool zero_init_residual;
  };

  explicit ResidualBlock(const Options& options) {
    const Window pointwise = {1, 1, 0, 1};
    const Window strided = {3, options.stride, 1, 1};
    const Window plain = {3, 1, 1, 1};
    const int64_t out_channels = OutChannels(options.channels, options.bottleneck);
    windows_ = options.bottleneck ? std::vector<Window>{pointwise, strided, pointwise}
                                  : std::vector<Window>{strided, plain};
    int64_t in_channels = options.in_channels;
    for (size_t i = 0; i < windows_.size(); ++i) {
      const int64_t next = i + 1 == windows_.size() ? out_channels : options.channels;
      convolutions_.push_back(
          register_module(absl::StrCat("conv", i + 1),
                          MakeConvolution(in_channels, next, windows_[i], /*bias=*/false)));
      InitKaimingNormal(*convolutions_.back());
      norms_.push_back(
          register_module(absl::StrCat("bn", i + 1), std::make_shared<Norm>(options.norm, next)));
      in_channels = next;
    }
    if (options.zero_init_residual) norms_.back()->ZeroInitWeight();
    out_channels_ = out_channels;
    if (options.stride == 1 && options.in_channels == out_channels) return;
    shortcut_ =
        std::make_shared<Shortcut>(options.in_channels, out_channels, options.stride, options.norm);
    register_module("downsample", shortcut_);
  }

  static int64_t OutChannels(int64_t channels, bool bottleneck) {
    return bottleneck ? channels * kExpansion : channels;
  }

  Tensor Forward(const Tensor& input) {
    Tensor branch = input;
    for (size_t i = 0; i < convolutions_.size(); ++i) {
      if (i > 0) branch = branch.relu_();
      branch = norms_[i]->Forward(convolutions_[i]->forward(branch));
    }
    // In place: norms keep their input for the backward pass, not their output.
    return branch.add_(shortcut_ == nullptr ? input : shortcut_->Forward(input)).relu_();
  }

  // Of the branch, whose field contains the shortcut's.
  FeatureSpec OutputSpec(FeatureSpec spec) const {
    for (const Window& window : windows_) spec = MoveWindow(window, spec, out_channels_);
    return spec;
  }

 private:
  // A projection for when the branch changes the map's shape.
  class Shortcut final : public torch::nn::Module {
   public:
    Shortcut(int64_t in_channels, int64_t out_channels, int64_t stride, NormKind norm)
        : convolution_(register_module(
              "0", MakeConvolution(in_channels, out_channels, {1, stride, 0, 1}, false))),
          norm_(register_module("1", std::make_shared<Norm>(norm, out_channels))) {
      InitKaimingNormal(*convolution_);
    }

    Tensor Forward(const Tensor& input) { return norm_->Forward(convolution_->forward(input)); }

   private:
    torch::nn::Conv2d convolution_;
    std::shared_ptr<Norm> norm_;
  };

  std::vector<Window> windows_;
  std::vector<torch::nn::Conv2d> convolutions_;
  std::vector<std::shared_ptr<Norm>> norms_;
  std::shared_ptr<Shortcut> shortcut_;  // null: the identity
  int64_t out_channels_ = 0;
};

// The blocks of one resolution, called 0, 1, ...
class Stage final : public torch::nn::Module {
 public:
  // Only the first block has the given stride and input channels.
  Stage(ResidualBlock::Options options, int blocks) {
    for (int i = 0; i < blocks; ++i) {
      blocks_.push_back(register_module(absl::StrCat(i), std::make_shared<ResidualBlock>(options)));
      options.in_channels = ResidualBlock::OutChannels(options.channels, options.bottleneck);
      options.stride = 1;
    }
  }

  Tensor Forward(Tensor map) {
    for (const auto& block : blocks_) map = block->Forward(map);
    return map;
  }

  FeatureSpec OutputSpec(FeatureSpec spec) const {
    for (const auto& block : blocks_) spec = block->OutputSpec(spec);
    return spec;
  }

 private:
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;
};

// Residual network (He et al., arXiv:1512.03385) without its classifier:
// `backbone { resnet { depth: 50 } }`. All names and shapes in its state are torchvision's: conv1,
// bn1, layer1.0.conv1, layer1.0.downsample.0, ...
class ResNet final : public Backbone {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const ResNetOptions& options,
                                                          const BackboneContext& context) {
    const Architecture* architecture = nullptr;
    for (const Architecture& candidate : kArchitectures) {
      if (candidate.depth == options.depth()) architecture = &candidate;
    }
    if (architecture == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("backbone.resnet.depth: ", options.depth(), " must be 18, 34, 50 or 101"));
    }
    SSD_RETURN_IF_ERROR(CheckRange("backbone.resnet.width", options.width(), 1, kMaxWidth));
    // All stages have the stem's channels times a power of two.
    for (int64_t channels = options.width(); channels <= options.width() * 8 * kExpansion;
         channels *= 2) {
      if (!Norm::Fits(KindOf(options.norm()), channels)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "backbone.resnet.width: ", options.width(),
            " does not go with norm: GROUP_NORM, because ", channels,
            " channels are no multiple of 32; use a power of two or a multiple of 32"));
      }
    }
    if (options.zero_init_residual() && options.norm() == ResNetOptions::FROZEN_BATCH_NORM) {
      return absl::InvalidArgumentError(
          "backbone.resnet.zero_init_residual: true does not go with backbone.resnet.norm: "
          "FROZEN_BATCH_NORM, which would keep every residual branch at zero; leave one of them "
          "out");
    }
    if (options.has_frozen_stages()) {
      SSD_RETURN_IF_ERROR(
          CheckFrozenStages("resnet", options.frozen_stages(), NumStages(options.form())));
    }
    auto backbone = std::make_unique<ResNet>(options, *architecture);
    SSD_RETURN_IF_ERROR(backbone->CheckNorms(KindOf(options.norm()), context.input));
    return absl::StatusOr<std::unique_ptr<Backbone>>(std::move(backbone));
  }

  ResNet(const ResNetOptions& options, const Architecture& architecture)
      : width_(options.width()),
        conv1_(register_module("conv1", MakeConvolution(3, width_, kStemConvolution, false))),
        bn1_(register_module("bn1", std::make_shared<Norm>(KindOf(options.norm()), width_))) {
    InitKaimingNormal(*conv1_);
    const bool up_to_conv4 = options.form() == ResNetOptions::CONV4_STRIDE_1;
    const int num_stages = NumStages(options.form());
    first_output_ = up_to_conv4 ? 2 : 1;
    int64_t in_channels = width_;
    for (int i = 0; i < num_stages; ++i) {
      const int64_t channels = width_ << i;
      const int64_t stride = i == 0 || (i == 2 && up_to_conv4) ? 1 : 2;
      stages_.push_back(register_module(
          absl::StrCat("layer", i + 1),
          std::make_shared<Stage>(
              ResidualBlock::Options{in_channels, channels, stride, architecture.bottleneck,
                                     KindOf(options.norm()), options.zero_init_residual()},
              architecture.blocks[i])));
      in_channels = ResidualBlock::OutChannels(channels, architecture.bottleneck);
    }
    if (!options.has_frozen_stages()) return;
    Freeze(*conv1_);
    Freeze(*bn1_);
    for (int i = 0; i < options.frozen_stages(); ++i) Freeze(*stages_[static_cast<size_t>(i)]);
  }

  std::vector<Tensor> Forward(const Tensor& images) override {
    Tensor map = bn1_->Forward(conv1_->forward(images)).relu_();
    map = at::max_pool2d(map, kStemPooling.kernel, kStemPooling.stride, kStemPooling.padding);
    std::vector<Tensor> outputs;
    for (size_t i = 0; i < stages_.size(); ++i) {
      map = stages_[i]->Forward(map);
      if (i >= first_output_) outputs.push_back(map);
    }
    return outputs;
  }

  std::vector<FeatureSpec> OutputSpecs(ImageSize size) const override {
    FeatureSpec spec = MoveWindow(kStemConvolution, ImageSpec(size), width_);
    spec = MoveWindow(kStemPooling, spec, width_);
    std::vector<FeatureSpec> outputs;
    for (size_t i = 0; i < stages_.size(); ++i) {
      spec = stages_[i]->OutputSpec(spec);
      if (i >= first_output_) outputs.push_back(spec);
    }
    return outputs;
  }

 private:
  // Stages are judged by their blocks' inner channels: what else a block normalises has more.
  absl::Status CheckNorms(NormKind norm, ImageSize input) const {
    FeatureSpec spec = MoveWindow(kStemConvolution, ImageSpec(input), width_);
    SSD_RETURN_IF_ERROR(CheckNormLeavesMap("resnet", norm, spec, input));
    spec = MoveWindow(kStemPooling, spec, width_);
    for (size_t i = 0; i < stages_.size(); ++i) {
      spec = stages_[i]->OutputSpec(spec);
      spec.channels = width_ << i;
      SSD_RETURN_IF_ERROR(CheckNormLeavesMap("resnet", norm, spec, input));
    }
    return absl::OkStatus();
  }

  static int NumStages(ResNetOptions::Form form) {
    return form == ResNetOptions::CONV4_STRIDE_1 ? 3 : 4;
  }

  int64_t width_;
  torch::nn::Conv2d conv1_;
  std::shared_ptr<Norm> bn1_;
  std::vector<std::shared_ptr<Stage>> stages_;
  size_t first_output_ = 0;  // the first stage whose map is an output; all later ones are too
};

SSD_REGISTER_BACKBONE(ResNetOptions, ResNet);

}  // namespace
}  // namespace ssd
