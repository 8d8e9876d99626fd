#include "ssd/model/multibox_head.h"

#include <ATen/ops/cat.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>

#include <cmath>

#include "ssd/core/logging.h"
#include "ssd/layers/convolution.h"

namespace ssd {
namespace {

// Of a separable head's initial weights, unless the config says otherwise.
constexpr double kStandardDeviation = 0.03;

// [B, shapes * values, h, w] to [B, h * w * shapes, values].
Tensor ByAnchor(const Tensor& map, int64_t values) {
  return map.permute({0, 2, 3, 1}).reshape({map.size(0), -1, values});
}

}  // namespace

int64_t MultiboxHead::LogitsPerAnchor(const HeadConfig& config, int64_t num_classes) {
  return config.activation() == HeadConfig::SIGMOID ? num_classes : num_classes + 1;
}

MultiboxHead::MultiboxHead(absl::Span<const FeatureSpec> levels,
                           absl::Span<const int64_t> anchors_per_cell, int64_t num_classes,
                           const HeadConfig& config)
    : num_logits_(LogitsPerAnchor(config, num_classes)), num_levels_(levels.size()) {
  CHECK(!levels.empty());
  CHECK_EQ(levels.size(), anchors_per_cell.size());
  CHECK_GT(num_classes, 0);
  CHECK_EQ(config.kernel() % 2, 1);
  CHECK(!(config.shared() && config.separable()));
  box_codes_ = AddPredictors("box_codes", levels, anchors_per_cell, 4, config);
  class_logits_ = AddPredictors("class_logits", levels, anchors_per_cell, num_logits_, config);
  if (!config.has_prior_probability()) return;
  // sigmoid(-log((1 - p) / p)) = p.
  const double prior = config.prior_probability();
  for (const Predictor& predictor : class_logits_) {
    torch::nn::init::constant_(predictor.convolution->bias, -std::log((1 - prior) / prior));
  }
}

std::vector<MultiboxHead::Predictor> MultiboxHead::AddPredictors(
    const std::string& name, absl::Span<const FeatureSpec> levels,
    absl::Span<const int64_t> anchors_per_cell, int64_t values, const HeadConfig& config) {
  const int64_t kernel = config.kernel();
  const Window window = {kernel, 1, kernel / 2, 1};
  const double deviation = config.has_initial_standard_deviation()
                               ? config.initial_standard_deviation()
                               : kStandardDeviation;
  torch::nn::ModuleList list;
  std::vector<Predictor> predictors;
  for (size_t i = 0; i < levels.size(); ++i) {
    CHECK_GT(anchors_per_cell[i], 0) << "level " << i + 1;
    if (config.shared() && i > 0) {
      CHECK_EQ(levels[i].channels, levels[0].channels);
      CHECK_EQ(anchors_per_cell[i], anchors_per_cell[0]);
      continue;
    }
    const int64_t channels = levels[i].channels;
    const int64_t out_channels = anchors_per_cell[i] * values;
    if (!config.separable()) {
      Predictor predictor = {nullptr,
                             MakeConvolution(channels, out_channels, window, /*bias=*/true)};
      if (config.has_initial_standard_deviation()) {
        InitNormal(*predictor.convolution, config.initial_standard_deviation(),
                   config.truncate_initial_weights());
      } else {
        InitXavierUniform(*predictor.convolution);
      }
      list->push_back(predictor.convolution);
      predictors.push_back(predictor);
      continue;
    }
    ConvolutionBlock::Options depthwise;
    depthwise.in_channels = channels;
    depthwise.out_channels = channels;
    depthwise.window = window;
    depthwise.groups = channels;
    depthwise.activation = Activation::kRelu6;
    depthwise.norm_constants = {config.norm_epsilon(), config.norm_momentum()};
    depthwise.initial_standard_deviation = deviation;
    depthwise.truncate_initial_weights = config.truncate_initial_weights();
    Predictor predictor = {std::make_shared<ConvolutionBlock>(depthwise),
                           MakeConvolution(channels, out_channels, Window(), /*bias=*/true)};
    InitNormal(*predictor.convolution, deviation, config.truncate_initial_weights());
    const auto both = std::make_shared<torch::nn::Module>();
    both->register_module("0", predictor.depthwise);
    both->register_module("1", predictor.convolution);
    list->push_back(both);
    predictors.push_back(predictor);
  }
  register_module(name, list);
  return predictors;
}

Predictions MultiboxHead::Forward(const std::vector<Tensor>& maps) {
  CHECK_EQ(maps.size(), num_levels_);
  const auto predict = [&maps](std::vector<Predictor>& predictors, size_t level, int64_t values) {
    Predictor& predictor = predictors[predictors.size() == 1 ? 0 : level];
    const Tensor map =
        predictor.depthwise == nullptr ? maps[level] : predictor.depthwise->Forward(maps[level]);
    return ByAnchor(predictor.convolution->forward(map), values);
  };
  std::vector<Tensor> box_codes;
  std::vector<Tensor> class_logits;
  for (size_t i = 0; i < maps.size(); ++i) {
    box_codes.push_back(predict(box_codes_, i, 4));
    class_logits.push_back(predict(class_logits_, i, num_logits_));
  }
  return {at::cat(box_codes, 1), at::cat(class_logits, 1)};
}

}  // namespace ssd
