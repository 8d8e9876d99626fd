#ifndef SSD_MODEL_SSD_DETECTOR_H_
#define SSD_MODEL_SSD_DETECTOR_H_

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ssd/anchors/anchor_generator.h"
#include "ssd/backbones/backbone.h"
#include "ssd/coders/box_coder.h"
#include "ssd/core/types.h"
#include "ssd/losses/loss.h"
#include "ssd/matchers/matcher.h"
#include "ssd/model/model.pb.h"
#include "ssd/model/multibox_head.h"
#include "ssd/necks/neck.h"
#include "ssd/postprocess/post_processor.h"

namespace ssd {

// One whole SSD: normalisation, backbone, neck, head, and the components that give its output a
// meaning. Does not read images, train or evaluate.
//
// Its parameters are named backbone.*, neck.* and head.*; the anchors, the mean and the standard
// deviation are non-persistent and follow the module to its device.
class SsdDetector : public torch::nn::Module {
 public:
  // Builds what `config` names; what it leaves open is filled in as ResolveModelDefaults does.
  // Initial weights come from torch's default CPU generator: seed it first. `file_boxes`, where
  // defined, stands in for what anchor_generator.from_file would read: see AnchorGeneratorContext.
  // \error InvalidArgument, NotFound naming the field at fault ("model.backbone.resnet.depth:
  // ..."). Precondition: num_classes > 0.
  static absl::StatusOr<std::shared_ptr<SsdDetector>> Create(const ModelConfig& config,
                                                             int64_t num_classes,
                                                             const Tensor& file_boxes = Tensor());

  // images: [B, 3, H, W] u8 RGB of exactly the input size, in either memory layout, which the
  // network keeps. Output in the network's own type (bf16 under autocast). Traceable: no control
  // flow on values.
  Predictions Forward(const Tensor& images);

  // The same for images [B, 3, H, W] of any type and of a size that AnchorsAt accepts.
  Predictions ForwardAnySize(const Tensor& images);

  // The anchors of what ForwardAnySize says about images of `size`, on the module's device. The
  // layers see pixels, so each anchor keeps its size in pixels, about the centre that its cell has
  // in this size: a smaller share of a larger image (AnchorGenerator::GenerateForImage). For
  // input_size() they are anchors().
  // \error InvalidArgument if a level would have no cells, or the image more boxes than components
  // can count, or as AnchorGenerator::Generate.
  absl::StatusOr<Anchors> AnchorsAt(ImageSize size) const;

  // Matching, encoding and the loss. predictions from Forward; truth on the same device. The loss
  // is float32 whatever the predictions are.
  Losses ComputeLosses(const Predictions& predictions, const Truth& truth,
                       LossDetail* per_anchor = nullptr) const;

  // Matching and encoding alone.
  Targets AssignTargets(const Truth& truth) const;

  // Decodes and post-processes; no gradient.
  Detections Detect(const Predictions& predictions) const;

  const ModelConfig& config() const { return config_; }
  int64_t num_classes() const { return num_classes_; }
  ImageSize input_size() const;
  // Feature maps the head sees, fine to coarse; num_levels entries.
  const std::vector<FeatureSpec>& levels() const { return levels_; }
  // On the module's device.
  const Anchors& anchors() const { return anchors_; }
  const std::vector<int64_t>& anchors_per_cell() const { return anchors_per_cell_; }
  const Matcher& matcher() const { return *matcher_; }
  const BoxCoder& box_coder() const { return *box_coder_; }
  const PostProcessor& post_processor() const { return *post_processor_; }
  Backbone& backbone() { return *backbone_; }
  Neck& neck() { return *neck_; }
  MultiboxHead& head() { return *head_; }

  // Moves what is no parameter along with the parameters.
  void to(torch::Device device, bool non_blocking = false) override;
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  using torch::nn::Module::to;

 private:
  SsdDetector() = default;

  // The tensors that are no parameters; they stay float32.
  void MoveConstants(torch::Device device, bool non_blocking);

  ModelConfig config_;
  int64_t num_classes_ = 0;
  std::shared_ptr<Backbone> backbone_;
  std::shared_ptr<Neck> neck_;
  std::shared_ptr<MultiboxHead> head_;
  std::vector<FeatureSpec> levels_;
  std::unique_ptr<AnchorGenerator> anchor_generator_;
  std::vector<int64_t> anchors_per_cell_;
  Anchors anchors_;
  Tensor mean_;  // [1, 3, 1, 1] f32, in channel_order
  Tensor std_;   // [1, 3, 1, 1] f32, in channel_order
  std::unique_ptr<Matcher> matcher_;
  std::unique_ptr<BoxCoder> box_coder_;
  std::unique_ptr<Loss> loss_;
  std::unique_ptr<PostProcessor> post_processor_;
};

}  // namespace ssd

#endif  // SSD_MODEL_SSD_DETECTOR_H_
