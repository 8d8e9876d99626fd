#include <torch/nn/modules/conv.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ssd/core/logging.h"
#include "ssd/layers/convolution.h"
#include "ssd/layers/norm.h"
#include "ssd/layers/window.h"
#include "ssd/necks/neck.h"

namespace ssd {
namespace {

// The paper's output channels for SSD300: conv8_2; conv9_2, conv10_2 and conv11_2.
constexpr int64_t kPaperChannels[] = {512, 256};

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

// The 3x3 window of an extra layer over a map of `height` x `width`. It halves the map, as the
// paper's conv8_2 and conv9_2, but for the paper's last steps 5 -> 3 -> 1, conv10_2 and conv11_2,
// which leave the border out instead. nullopt when the map cannot shrink any more.
std::optional<Window> ShrinkingWindow(int64_t height, int64_t width) {
  const int64_t shorter = std::min(height, width);
  if (shorter <= 1) return std::nullopt;
  if (shorter == 3 || shorter == 5) return Window{3, 1, 0, 1};
  return Window{3, 2, 1, 1};
}

// What one extra layer is made of.
struct ExtraOptions {
  int64_t in_channels;
  int64_t mid_channels;
  int64_t out_channels;
  Window window;
  std::optional<NormKind> norm;
};

// 1x1 convolution, 3x3 convolution, each with its norm, if any, and ReLU.
class ExtraLayer final : public torch::nn::Module {
 public:
  explicit ExtraLayer(const ExtraOptions& options)
      : window_(options.window),
        out_channels_(options.out_channels),
        conv1_(register_module("conv1",
                               MakeConvolution(options.in_channels, options.mid_channels, Window(),
                                               /*bias=*/!options.norm))),
        conv2_(register_module("conv2", MakeConvolution(options.mid_channels, options.out_channels,
                                                        window_, /*bias=*/!options.norm))) {
    InitXavierUniform(*conv1_);
    InitXavierUniform(*conv2_);
    if (!options.norm) return;
    norm1_ = register_module("bn1", std::make_shared<Norm>(*options.norm, options.mid_channels));
    norm2_ = register_module("bn2", std::make_shared<Norm>(*options.norm, options.out_channels));
  }

  Tensor Forward(const Tensor& input) {
    Tensor map = conv1_->forward(input);
    if (norm1_ != nullptr) map = norm1_->Forward(map);
    map = conv2_->forward(map.relu_());
    if (norm2_ != nullptr) map = norm2_->Forward(map);
    return map.relu_();
  }

  FeatureSpec OutputSpec(const FeatureSpec& input) const {
    return MoveWindow(window_, input, out_channels_);
  }

 private:
  Window window_;
  int64_t out_channels_;
  torch::nn::Conv2d conv1_;
  torch::nn::Conv2d conv2_;
  std::shared_ptr<Norm> norm1_;
  std::shared_ptr<Norm> norm2_;
};

// SSD's extra feature layers (Liu et al., arXiv:1512.02325, figure 2): `neck { ssd_extras {} }`.
// Maps of 38, 19 and 10 cells get three more of 5, 3 and 1. The strides are chosen once, for the
// inputs it is made for. Its layers are called 0, 1, ..., and in them conv1, bn1, conv2, bn2.
class SsdExtras final : public Neck {
 public:
  static absl::StatusOr<std::unique_ptr<Neck>> Create(const SsdExtrasOptions& options,
                                                      const NeckContext& context) {
    CHECK(!context.inputs.empty());
    CHECK_GT(context.num_levels, 0);
    for (const int64_t channels : options.channels()) {
      SSD_RETURN_IF_ERROR(CheckChannels("channels", channels, options.norm()));
    }
    for (const int64_t channels : options.mid_channels()) {
      SSD_RETURN_IF_ERROR(CheckChannels("mid_channels", channels, options.norm()));
    }

    const size_t num_levels = static_cast<size_t>(context.num_levels);
    const size_t kept = std::min(num_levels, context.inputs.size());
    for (size_t i = 0; i < kept; ++i) {
      if (context.inputs[i].height <= 0 || context.inputs[i].width <= 0) {
        return absl::InvalidArgumentError(absl::StrCat(
            "input: the image is too small: the backbone's map ", i + 1, " has no cells"));
      }
    }
    std::vector<ExtraOptions> extras;
    FeatureSpec spec = context.inputs[kept - 1];
    for (size_t i = 0; kept + i < num_levels; ++i) {
      const std::optional<Window> window = ShrinkingWindow(spec.height, spec.width);
      if (!window) {
        return absl::InvalidArgumentError(
            absl::StrCat("num_levels: ", num_levels, " is too large for this input: level ",
                         kept + i, " is ", spec.height, "x", spec.width,
                         " cells already; use at most ", kept + i, ", or a larger input"));
      }
      const int64_t out_channels = OutChannels(options, i);
      const int64_t mid_channels = MidChannels(options, i);
      // Halved channels were not checked above.
      SSD_RETURN_IF_ERROR(CheckChannels("mid_channels", mid_channels, options.norm()));
      extras.push_back(
          {spec.channels, mid_channels, out_channels, *window, KindOf(options.norm())});
      spec = MoveWindow(*window, spec, out_channels);
    }
    return std::make_unique<SsdExtras>(kept, extras);
  }

  SsdExtras(size_t kept, const std::vector<ExtraOptions>& extras) : kept_(kept) {
    for (size_t i = 0; i < extras.size(); ++i) {
      extras_.push_back(register_module(absl::StrCat(i), std::make_shared<ExtraLayer>(extras[i])));
    }
  }

  std::vector<Tensor> Forward(std::vector<Tensor> features) override {
    CHECK_GE(features.size(), kept_);
    features.resize(kept_);
    for (const auto& extra : extras_) features.push_back(extra->Forward(features.back()));
    return features;
  }

  std::vector<FeatureSpec> OutputSpecs(absl::Span<const FeatureSpec> inputs) const override {
    CHECK_GE(inputs.size(), kept_);
    std::vector<FeatureSpec> specs(inputs.begin(), inputs.begin() + kept_);
    for (const auto& extra : extras_) specs.push_back(extra->OutputSpec(specs.back()));
    return specs;
  }

 private:
  static int64_t OutChannels(const SsdExtrasOptions& options, size_t i) {
    if (options.channels().empty()) {
      return kPaperChannels[std::min(i, std::size(kPaperChannels) - 1)];
    }
    return options.channels(std::min(static_cast<int>(i), options.channels_size() - 1));
  }

  static int64_t MidChannels(const SsdExtrasOptions& options, size_t i) {
    if (options.mid_channels().empty()) return std::max<int64_t>(1, OutChannels(options, i) / 2);
    return options.mid_channels(std::min(static_cast<int>(i), options.mid_channels_size() - 1));
  }

  static absl::Status CheckChannels(const char* field, int64_t channels,
                                    SsdExtrasOptions::Norm norm) {
    if (channels < 1 || channels > 65536) {
      return absl::InvalidArgumentError(
          absl::StrCat("neck.ssd_extras.", field, ": ", channels, " must be in [1, 65536]"));
    }
    const std::optional<NormKind> kind = KindOf(norm);
    if (kind && !Norm::Fits(*kind, channels)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "neck.ssd_extras.", field, ": ", channels,
          " does not go with norm: GROUP_NORM; use a multiple of 32, or less than 32"));
    }
    return absl::OkStatus();
  }

  const size_t kept_;  // of the backbone's maps
  std::vector<std::shared_ptr<ExtraLayer>> extras_;
};

SSD_REGISTER_NECK(SsdExtrasOptions, SsdExtras);

}  // namespace
}  // namespace ssd
