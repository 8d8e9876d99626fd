#include "ssd/train/toy_detector.h"

#include <ATen/ATen.h>
#include <google/protobuf/text_format.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>

#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "ssd/core/logging.h"
#include "ssd/core/random.h"
#include "ssd/train/toy_detector.pb.h"

namespace ssd {
namespace toy {
namespace {

class ToyBackbone final : public Backbone {
 public:
  static absl::StatusOr<std::unique_ptr<Backbone>> Create(const ToyBackboneOptions& options,
                                                          const BackboneContext& context) {
    return std::make_unique<ToyBackbone>(options);
  }
  explicit ToyBackbone(const ToyBackboneOptions& options)
      : conv1_(register_module("conv1",
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 4).stride(4)))),
        conv2_(register_module("conv2",
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 16, 4).stride(4)))),
        dropout_(register_module("dropout", torch::nn::Dropout(options.dropout()))),
        refuse_channels_last_(options.refuse_channels_last()) {
    if (options.batch_norm()) norm_ = register_module("norm", torch::nn::BatchNorm2d(8));
  }
  std::vector<Tensor> Forward(const Tensor& images) override {
    if (refuse_channels_last_ && conv1_->weight.is_contiguous(at::MemoryFormat::ChannelsLast)) {
      throw std::runtime_error("could not create\na primitive");
    }
    Tensor map = conv1_(images);
    if (!norm_.is_empty()) map = norm_(map);
    return {conv2_(dropout_(map.relu())).relu()};
  }
  std::vector<FeatureSpec> OutputSpecs(ImageSize size) const override {
    return {{16, size.height / 16, size.width / 16, 16, 16, 7.5, 7.5, 16}};
  }

 private:
  torch::nn::Conv2d conv1_;
  torch::nn::Conv2d conv2_;
  torch::nn::Dropout dropout_;
  torch::nn::BatchNorm2d norm_{nullptr};
  const bool refuse_channels_last_;
};
SSD_REGISTER_BACKBONE(ToyBackboneOptions, ToyBackbone);

class ToyNeck final : public Neck {
 public:
  static absl::StatusOr<std::unique_ptr<Neck>> Create(const ToyNeckOptions& options,
                                                      const NeckContext& context) {
    return std::make_unique<ToyNeck>();
  }
  std::vector<Tensor> Forward(std::vector<Tensor> features) override { return features; }
  std::vector<FeatureSpec> OutputSpecs(absl::Span<const FeatureSpec> inputs) const override {
    return {inputs.begin(), inputs.end()};
  }
};
SSD_REGISTER_NECK(ToyNeckOptions, ToyNeck);

// Two squares a cell.
class ToyAnchors final : public AnchorGenerator {
 public:
  static absl::StatusOr<std::unique_ptr<AnchorGenerator>> Create(
      const ToyAnchorsOptions& options, const AnchorGeneratorContext& context) {
    return std::make_unique<ToyAnchors>();
  }
  std::vector<int64_t> AnchorsPerCell() const override { return {2}; }
  absl::StatusOr<Anchors> Generate(absl::Span<const FeatureSpec> levels,
                                   ImageSize input) const override {
    std::vector<float> values;
    for (int64_t y = 0; y < levels[0].height; ++y) {
      for (int64_t x = 0; x < levels[0].width; ++x) {
        for (const float size : {0.25f, 0.5f}) {
          values.insert(values.end(),
                        {(x + 0.5f) / levels[0].width, (y + 0.5f) / levels[0].height, size, size});
        }
      }
    }
    const Tensor boxes = at::tensor(values).view({-1, 4});
    return Anchors{boxes, {boxes.size(0)}};
  }
};
SSD_REGISTER_ANCHOR_GENERATOR(ToyAnchorsOptions, ToyAnchors);

// An anchor answers for the first truth that its centre lies in.
class ToyMatcher final : public Matcher {
 public:
  static absl::StatusOr<std::unique_ptr<Matcher>> Create(const ToyMatcherOptions& options,
                                                         const MatcherContext& context) {
    return std::make_unique<ToyMatcher>();
  }
  Tensor Match(const Truth& truth, const Anchors& anchors) const override {
    const Tensor centers = anchors.boxes.slice(1, 0, 2).view({1, -1, 1, 2});
    const Tensor boxes = truth.boxes.unsqueeze(1);
    const Tensor inside =
        ((centers >= boxes.slice(3, 0, 2)) & (centers <= boxes.slice(3, 2, 4))).all(3) &
        (truth.labels > 0).unsqueeze(1);
    return at::where(inside.any(2), inside.to(at::kInt).argmax(2), kUnmatched);
  }
};
SSD_REGISTER_MATCHER(ToyMatcherOptions, ToyMatcher);

// The differences of the corners.
class ToyCoder final : public BoxCoder {
 public:
  static absl::StatusOr<std::unique_ptr<BoxCoder>> Create(const ToyCoderOptions& options,
                                                          const BoxCoderContext& context) {
    return std::make_unique<ToyCoder>();
  }
  Tensor Encode(const Tensor& boxes, const Tensor& anchors) const override {
    return boxes - Corners(anchors);
  }
  Tensor Decode(const Tensor& codes, const Tensor& anchors) const override {
    return codes + Corners(anchors);
  }

 private:
  static Tensor Corners(const Tensor& anchors) {
    const Tensor center = anchors.slice(1, 0, 2);
    const Tensor half = anchors.slice(1, 2, 4) / 2;
    return at::cat({center - half, center + half}, 1);
  }
};
SSD_REGISTER_BOX_CODER(ToyCoderOptions, ToyCoder);

// Means over all anchors of the batch, so that the mean over parts of a batch is that of the whole.
class ToyLoss final : public Loss {
 public:
  static absl::StatusOr<std::unique_ptr<Loss>> Create(const ToyLossOptions& options,
                                                      const LossContext& context) {
    return std::make_unique<ToyLoss>();
  }
  Losses Compute(const Predictions& predictions, const Targets& targets, const BoxDecoder& decode,
                 LossDetail* per_anchor) const override {
    const Tensor codes = predictions.box_codes.to(at::kFloat);
    const Tensor logits = predictions.class_logits.to(at::kFloat);
    const Tensor positive = (targets.labels > 0).unsqueeze(2).to(at::kFloat);
    Losses losses;
    losses.classification = at::cross_entropy_loss(logits.flatten(0, 1), targets.labels.flatten());
    losses.localization = ((codes - targets.box_codes).square() * positive).mean();
    const auto poisoned = [&](int64_t label) {
      return (targets.labels == label).any().item<bool>();
    };
    if (poisoned(kPoisonsClassification)) {
      losses.classification = losses.classification * std::numeric_limits<float>::quiet_NaN();
    }
    if (poisoned(kPoisonsLocalization)) {
      losses.localization = losses.localization + std::numeric_limits<float>::infinity();
    }
    losses.total = losses.classification + losses.localization;
    // The square root has no derivative at 0.
    if (poisoned(kPoisonsGradient)) losses.total = losses.total + (codes.sum() * 0).sqrt();
    return losses;
  }
};
SSD_REGISTER_LOSS(ToyLossOptions, ToyLoss);

// The best anchor of each image, or all of them, at its best class.
class ToyPostProcessor final : public PostProcessor {
 public:
  static absl::StatusOr<std::unique_ptr<PostProcessor>> Create(
      const ToyPostProcessorOptions& options, const PostProcessorContext& context) {
    return std::make_unique<ToyPostProcessor>(options.keep_all());
  }
  explicit ToyPostProcessor(bool keep_all) : keep_all_(keep_all) {}
  Detections Process(const Tensor& boxes, const Tensor& class_logits) const override {
    const Tensor scores = class_logits.to(at::kFloat).softmax(2).slice(2, 1);
    if (keep_all_) {
      const auto [best, index] = scores.max(2);
      return {boxes, best, index + 1, at::full({boxes.size(0)}, boxes.size(1), index.options())};
    }
    const auto [best, index] = scores.flatten(1).max(1, /*keepdim=*/true);
    const Tensor anchor = at::floor_divide(index, scores.size(2));
    return {boxes.gather(1, anchor.unsqueeze(2).expand({-1, -1, 4})), best,
            index % scores.size(2) + 1, at::ones({boxes.size(0)}, index.options())};
  }

 private:
  bool keep_all_;
};
SSD_REGISTER_POST_PROCESSOR(ToyPostProcessorOptions, ToyPostProcessor);

}  // namespace
}  // namespace toy

std::shared_ptr<SsdDetector> MakeToyDetector(const ToyOptions& options) {
  ModelConfig config;
  const std::string text = absl::StrCat(
      "num_levels: 1 input { height: 64 width: 64 } backbone { [ssd.toy.ToyBackboneOptions.ext] { "
      "batch_norm: ",
      options.batch_norm ? "true" : "false", " dropout: ", options.dropout,
      " refuse_channels_last: ", options.refuse_channels_last ? "true" : "false",
      " } } neck { [ssd.toy.ToyNeckOptions.ext] {} } head {} "
      "anchor_generator { [ssd.toy.ToyAnchorsOptions.ext] {} } "
      "matcher { [ssd.toy.ToyMatcherOptions.ext] {} } "
      "box_coder { [ssd.toy.ToyCoderOptions.ext] {} } loss { [ssd.toy.ToyLossOptions.ext] {} } "
      "post_processor { [ssd.toy.ToyPostProcessorOptions.ext] { keep_all: ",
      options.keep_all ? "true" : "false", " } }");
  CHECK(google::protobuf::TextFormat::ParseFromString(text, &config));
  at::manual_seed(options.seed);
  auto detector = SsdDetector::Create(config, kToyClasses);
  CHECK(detector.ok()) << detector.status().message();
  return *std::move(detector);
}

absl::Status ToyBatches::Start(int64_t epoch, int64_t first_batch) {
  CHECK(epoch >= 0 && first_batch >= 0 && first_batch <= batches_per_epoch_);
  epoch_ = epoch;
  next_ = first_batch;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Batch>> ToyBatches::Next() {
  if (next_ == batches_per_epoch_) return std::optional<Batch>();
  const int64_t index = epoch_ * batches_per_epoch_ + next_++;
  if (before_batch != nullptr) {
    const absl::Status status = before_batch(index);
    if (!status.ok()) return status;
  }
  Batch batch;
  batch.images = at::empty({batch_size_, 3, 64, 64}, at::kByte, at::MemoryFormat::ChannelsLast);
  batch.truth = {at::zeros({batch_size_, 8, 4}), at::zeros({batch_size_, 8}, at::kLong),
                 at::zeros({batch_size_, 8}, at::kBool)};
  Geometry geometry = Geometry::Identity({96, 128}).Resized({64, 64});
  for (int64_t b = 0; b < batch_size_; ++b) {
    const int64_t id = index * batch_size_ + b;
    Random random(1, 0, id);
    uint8_t* const pixels = batch.images[b].mutable_data_ptr<uint8_t>();
    for (int64_t i = 0; i < 3 * 64 * 64; ++i) pixels[i] = random() >> 24;
    const double x = random.Uniform(0, 0.5), y = random.Uniform(0, 0.5);
    batch.truth.boxes[b][0] = at::tensor({x, y, x + 0.5, y + 0.5}).to(at::kFloat);
    batch.truth.labels[b][0] = random.Integer(1, 2);
    batch.image_ids.push_back(id);
    batch.geometry.push_back(geometry);
  }
  const auto poisoned = poison.find(index);
  if (poisoned != poison.end()) batch.truth.labels[0][0] = poisoned->second;
  return std::optional<Batch>(std::move(batch));
}

}  // namespace ssd
