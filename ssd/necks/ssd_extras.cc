#include <ATen/ops/relu6.h>
#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/option_check.h"
#include "ssd/core/status_macros.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"
#include "ssd/necks/default_channels.h"
#include "ssd/necks/extra_levels.h"
#include "ssd/necks/neck.h"

namespace ssd {
namespace {

// Larger ones are typing errors, and fill the memory.
constexpr double kMaxKernel = 31;
constexpr double kMaxStride = 64;

std::optional<NormKind> KindOf(SsdExtrasOptions::Norm norm) {
  switch (norm) {
    case SsdExtrasOptions::NONE:
      return std::nullopt;
    case SsdExtrasOptions::BATCH_NORM:
      return NormKind::kBatch;
    case SsdExtrasOptions::GROUP_NORM:
      return NormKind::kGroup;
  }
  return std::nullopt;
}

// 1x1 convolution, 3x3 convolution, each with its norm, if any, and activation.
class SsdExtra final : public ExtraLevel {
 public:
  // Precondition: `options` are valid.
  SsdExtra(const ExtraLevelShape& shape, const SsdExtrasOptions& options)
      : window_(shape.window),
        out_channels_(shape.out_channels),
        is_relu6_(options.activation() == SsdExtrasOptions::RELU6) {
    const std::optional<NormKind> norm = KindOf(options.norm());
    conv1_ = register_module(
        "conv1", MakeConvolution(shape.in_channels, shape.mid_channels, Window(), /*bias=*/!norm));
    conv2_ = register_module(
        "conv2", MakeConvolution(shape.mid_channels, shape.out_channels, window_, /*bias=*/!norm));
    for (torch::nn::Conv2d* const convolution : {&conv1_, &conv2_}) {
      if (options.has_initial_standard_deviation()) {
        InitNormal(**convolution, options.initial_standard_deviation(),
                   options.truncate_initial_weights());
      } else {
        InitXavierUniform(**convolution);
      }
    }
    if (!norm) return;
    const NormConstants constants = {options.norm_epsilon(), options.norm_momentum()};
    norm1_ = register_module("bn1", std::make_shared<Norm>(*norm, shape.mid_channels, constants));
    norm2_ = register_module("bn2", std::make_shared<Norm>(*norm, shape.out_channels, constants));
  }

  Tensor Forward(const Tensor& input) override {
    Tensor map = conv1_->forward(input);
    if (norm1_ != nullptr) map = norm1_->Forward(map);
    Activate(map);
    map = conv2_->forward(map);
    if (norm2_ != nullptr) map = norm2_->Forward(map);
    Activate(map);
    return map;
  }

  FeatureSpec OutputSpec(const FeatureSpec& input) const override {
    return MoveWindow(window_, input, out_channels_);
  }

 private:
  // In place: norms and convolutions keep their input for the backward pass, not their output.
  void Activate(Tensor& map) const {
    if (is_relu6_) {
      at::relu6_(map);
    } else {
      map.relu_();
    }
  }

  Window window_;
  int64_t out_channels_;
  bool is_relu6_;
  torch::nn::Conv2d conv1_ = nullptr;
  torch::nn::Conv2d conv2_ = nullptr;
  std::shared_ptr<Norm> norm1_;
  std::shared_ptr<Norm> norm2_;
};

// SSD's extra feature layers (Liu et al., arXiv:1512.02325, figure 2): `neck { ssd_extras {} }`.
// Maps of 38, 19 and 10 cells get three more of 5, 3 and 1. SSD512's, for maps of 64 and 32 cells:
// `neck { ssd_extras { window {} window {} window {} window {} window { kernel: 4 stride: 1 } } }`.
// TensorFlow's on MobileNetV2: `neck { ssd_extras { channels: [512, 256, 256, 128] norm: BATCH_NORM
// norm_epsilon: 1e-3 norm_momentum: 3e-4 initial_standard_deviation: 0.03
// truncate_initial_weights: true activation: RELU6 window {} } }`.
// The layers of an extra level are called conv1, bn1, conv2, bn2.
class SsdExtras final : public ExtraLevels {
 public:
  static absl::StatusOr<std::unique_ptr<Neck>> Create(const SsdExtrasOptions& options,
                                                      const NeckContext& context) {
    for (int i = 0; i < options.window_size(); ++i) {
      SSD_RETURN_IF_ERROR(CheckWindow(options.window(i), i));
    }
    SSD_RETURN_IF_ERROR(CheckLayers(options));
    SsdExtrasOptions filled = options;
    FillChannels(filled);
    const std::vector<int64_t> channels(filled.channels().begin(), filled.channels().end());
    const std::vector<int64_t> mid_channels(filled.mid_channels().begin(),
                                            filled.mid_channels().end());
    const size_t kept = KeptMaps(context);
    const auto choose_window = [&](const FeatureSpec& spec, size_t i) {
      return options.window().empty() ? ByMap(spec, kept + i, context.num_levels)
                                      : AsGiven(options, spec, kept + i, i);
    };
    SSD_ASSIGN_OR_RETURN(
        const std::vector<ExtraLevelShape> shapes,
        PlanExtraLevels(context, "ssd_extras", channels, mid_channels, choose_window));
    const std::optional<NormKind> norm = KindOf(options.norm());
    FeatureSpec spec = context.inputs[kept - 1];
    std::vector<std::shared_ptr<ExtraLevel>> levels;
    for (const ExtraLevelShape& shape : shapes) {
      SSD_RETURN_IF_ERROR(CheckNorm("mid_channels", shape.mid_channels, norm, spec));
      spec = MoveWindow(shape.window, spec, shape.out_channels);
      SSD_RETURN_IF_ERROR(CheckNorm("channels", shape.out_channels, norm, spec));
      levels.push_back(std::make_shared<SsdExtra>(shape, options));
    }
    return std::make_unique<SsdExtras>(kept, levels);
  }

  using ExtraLevels::ExtraLevels;

 private:
  // Halves the map, as the paper's conv8_2 and conv9_2, but for the paper's last steps 5 -> 3 -> 1,
  // conv10_2 and conv11_2, which leave the border out instead.
  static absl::StatusOr<Window> ByMap(const FeatureSpec& spec, size_t level, int64_t num_levels) {
    const int64_t shorter = std::min(spec.height, spec.width);
    if (shorter <= 1) return NoLevelBehind(spec, level, num_levels);
    if (shorter == 3 || shorter == 5) return Window{3, 1, 0, 1};
    return Window{3, 2, 1, 1};
  }

  static absl::StatusOr<Window> AsGiven(const SsdExtrasOptions& options, const FeatureSpec& spec,
                                        size_t level, size_t i) {
    const int entry = std::min(static_cast<int>(i), options.window_size() - 1);
    const SsdExtrasOptions::Window& given = options.window(entry);
    const Window window = {given.kernel(), given.stride(), given.padding(), 1};
    const FeatureSpec output = MoveWindow(window, spec, spec.channels);
    if (output.height > 0 && output.width > 0) return window;
    return absl::InvalidArgumentError(absl::StrCat(
        "neck.ssd_extras.window[", entry, "].kernel: ", given.kernel(), " does not fit on level ",
        level, ", which is ", spec.height, "x", spec.width, " cells with ", given.padding(),
        " of padding; use a smaller kernel, fewer levels or a larger input"));
  }

  static absl::Status CheckWindow(const SsdExtrasOptions::Window& window, int i) {
    const std::string field = absl::StrCat("neck.ssd_extras.window[", i, "].");
    SSD_RETURN_IF_ERROR(CheckRange(field + "kernel", window.kernel(), 1, kMaxKernel));
    SSD_RETURN_IF_ERROR(CheckRange(field + "stride", window.stride(), 1, kMaxStride));
    return CheckOption(window.padding() >= 0 && window.padding() < window.kernel(),
                       field + "padding", window.padding(), ">= 0 and below kernel");
  }

  // What all extra layers have in common.
  static absl::Status CheckLayers(const SsdExtrasOptions& options) {
    const char* const path = "neck.ssd_extras.";
    const double epsilon = options.norm_epsilon();
    SSD_RETURN_IF_ERROR(CheckOption(epsilon > 0, "neck.ssd_extras.norm_epsilon", epsilon, "> 0"));
    const double momentum = options.norm_momentum();
    SSD_RETURN_IF_ERROR(CheckOption(momentum > 0 && momentum <= 1, "neck.ssd_extras.norm_momentum",
                                    momentum, "in (0, 1]"));
    if (options.norm() == SsdExtrasOptions::NONE) {
      SSD_RETURN_IF_ERROR(CheckUnused(options, "norm_epsilon", path, "norm: BATCH_NORM"));
    }
    if (options.norm() != SsdExtrasOptions::BATCH_NORM) {
      SSD_RETURN_IF_ERROR(CheckUnused(options, "norm_momentum", path, "norm: BATCH_NORM"));
    }
    if (!options.has_initial_standard_deviation()) {
      return CheckUnused(options, "truncate_initial_weights", path, "initial_standard_deviation");
    }
    const double deviation = options.initial_standard_deviation();
    return CheckOption(deviation > 0, "neck.ssd_extras.initial_standard_deviation", deviation,
                       "> 0");
  }

  // `spec`: the map that is normalised.
  static absl::Status CheckNorm(const char* field, int64_t channels, std::optional<NormKind> norm,
                                const FeatureSpec& spec) {
    if (!norm) return absl::OkStatus();
    if (!Norm::Fits(*norm, channels)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "neck.ssd_extras.", field, ": ", channels,
          " does not go with norm: GROUP_NORM; use a multiple of 32, or less than 32"));
    }
    if (spec.height * spec.width == 1 && Norm::BlanksOneCell(*norm, channels)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "neck.ssd_extras.norm: GROUP_NORM leaves nothing of a map of one cell whose ", channels,
          " channels are a group each; raise neck.ssd_extras.", field,
          " to a multiple of 32 above 32, use fewer levels, or norm: BATCH_NORM"));
    }
    return absl::OkStatus();
  }
};

SSD_REGISTER_NECK(SsdExtrasOptions, SsdExtras);

}  // namespace
}  // namespace ssd
